// Numbers as people read them; what is unknown is a dash.

export const DASH = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export function rate(value) {
  if (!known(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 0.95 ? 1 : 2);
}

export const percent = (value) => (known(value) ? `${Math.round(100 * value)}%` : DASH);

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en") : DASH;
}

export function duration(value) {
  if (!known(value)) return DASH;
  if (value === 0) return "0";
  if (value < 0.0995) return `${(1000 * value).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  if (value < 9.95) return `${value.toFixed(value < 0.995 ? 2 : 1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

// A tick of an axis up to `top`: all ticks of an axis in one unit, with no more digits than tell them apart.
export const rateTick = (value, top) => (value === 0 ? "0" : value.toFixed(top >= 20 ? 0 : top >= 2 ? 1 : 2));

// The unit of an axis of durations up to `top`, and its length in seconds.
export const durationUnit = (top) => (top <= 1 ? ["ms", 0.001] : top <= 120 ? ["s", 1] : top <= 7200 ? ["min", 60] : ["h", 3600]);

export function durationTick(value, top) {
  if (value === 0) return "0";
  const [unit, size] = durationUnit(top);
  return `${Number((value / size).toPrecision(3))} ${unit}`;
}

export const about = (seconds) => (seconds < 120 ? `${Math.max(5 * Math.round(seconds / 5), 1)} s` : duration(seconds));

export function clock(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

// When something began, for one who reads the clock of this page; seconds would only be in the way.
export function since(seconds, now) {
  if (!known(seconds)) return "";
  if (now - seconds >= 72000) return `for ${duration(now - seconds)}`;
  return `since ${new Date(1000 * seconds).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}

export const plural = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
