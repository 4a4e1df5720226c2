// One chart of an hour: lines with their names at the right end, a band, a limit. Plain SVG.

import { h, svg } from "./dom.js";
import { clock, DASH } from "./format.js";

const HEIGHT = 168;
const MARGIN = { top: 10, right: 100, bottom: 22, left: 44 };
const LABEL_GAP = 14;
const SPANS_SECONDS = [120, 300, 600, 1200, 1800, 3600];

// The stretch of time that all charts show: the shortest round one that holds all that is known.
export function spanOf(times, now) {
  const first = times[0] ?? now;
  return SPANS_SECONDS.find((span) => now - first <= span) ?? SPANS_SECONDS.at(-1);
}

function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

export class Chart {
  // `spec`: title, format, tick (of the axis, else as format), unit (of the axis, [name, size]), least (the least top of the axis), top (a fixed one), and
  // series: [{column, label, kind: "line" | "limit" | "dots" | "area" | "faint", band: [lower, upper]}].
  constructor(spec) {
    this.spec = spec;
    this.readout = h("span", { class: "readout" });
    this.plot = h("div", { class: "plot" });
    this.node = h("figure", { class: "chart" }, h("figcaption", {}, h("b", {}, spec.title), this.readout), this.plot);
  }

  // `points(column)` gives [[time, value], …]; `at` is the time under the pointer, or null.
  // `missing` is what is said where nothing is known of the whole hour.
  draw({ points, now, span, step, at, missing }) {
    const { spec } = this;
    const width = Math.max(this.plot.clientWidth, 240);
    const right = width < 420 ? 96 : MARGIN.right;
    const inner = { width: width - MARGIN.left - right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    const series = spec.series
      .map((one) => ({ ...one, data: points(one.column), edges: (one.band ?? []).map(points) }))
      .filter((one) => one.data.some(([, value]) => value !== null));
    // a limit alone says nothing
    const known = series.some((one) => one.kind !== "limit");
    this.empty(!known, missing);
    if (!known) return;
    const x = (time) => MARGIN.left + inner.width * (1 - (now - time) / span);
    const top = spec.top ?? this.top(series);
    const y = (value) => MARGIN.top + inner.height * (1 - Math.min(Math.max(value, 0), top * 1.02) / top);
    const parts = [...this.axes(x, y, top, now, span, width, right)];
    for (const one of series) if (one.edges.length) parts.push(band(one, x, y, now - span, step));
    for (const one of series) parts.push(...line(one, x, y, now - span, step));
    parts.push(...labels(series, x, y, width - right, inner));
    if (spec.strip) parts.push(...strip(points(spec.strip), spec.states(), x, now - span, step));
    if (at !== null && at >= now - span) parts.push(svg("path", { class: "cross", d: `M${x(at)} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}` }));
    this.plot.replaceChildren(
      svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": this.words(series) }, ...parts),
    );
    this.readout.textContent = this.read(series, at);
    this.scale = { left: MARGIN.left, width: inner.width };
  }

  empty(is, missing) {
    this.node.classList.toggle("empty", is);
    if (!is) return;
    this.readout.textContent = "";
    this.plot.replaceChildren(h("p", {}, missing));
  }

  // Outliers of one quantity, as a limit far away, do not squeeze what is looked at.
  top(series) {
    const highest = (one) => Math.max(...one.data.map(([, value]) => value ?? 0));
    const main = Math.max(...series.filter((one) => one.kind !== "faint").map(highest), this.spec.least ?? 0);
    const faint = series.filter((one) => one.kind === "faint").map(highest).filter((value) => value <= 2.5 * main);
    const highestOfAll = 1.06 * Math.max(main, ...faint, 1e-9);
    const [, size] = this.spec.unit?.(highestOfAll) ?? ["", 1];
    return niceTop(highestOfAll / size) * size;
  }

  *axes(x, y, top, now, span, width, right) {
    for (const share of [0, 0.5, 1]) {
      const value = top * share;
      yield svg("path", { class: share ? "grid" : "base", d: `M${MARGIN.left} ${y(value)}H${width - right}` });
      yield svg("text", { class: "tick", x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, (this.spec.tick ?? this.spec.format)(value, top));
    }
    const parts = span % 900 || width < 420 ? 2 : 3;
    for (let part = 0; part <= parts; part += 1) {
      const ago = (span * (parts - part)) / parts;
      const anchor = part === 0 ? "start" : part === parts ? "end" : "middle";
      const text = ago === 0 ? "now" : `−${Math.round((ago / 60) * 10) / 10} min`;
      yield svg("text", { class: "tick", x: x(now - ago), y: HEIGHT - 5, "text-anchor": anchor }, text);
    }
  }

  read(series, at) {
    const value = (one) => {
      const found = at === null ? one.data.at(-1) : nearest(one.data, at);
      return found === undefined || found[1] === null ? DASH : this.spec.format(found[1]);
    };
    const numbers = series.filter((one) => !one.silent).map((one) => `${one.label} ${value(one)}`);
    return (at === null ? [] : [clock(at)]).concat(numbers).join("  ·  ");
  }

  words(series) {
    const words = series.map((one) => {
      const known = one.data.map(([, value]) => value).filter((value) => value !== null);
      const [first, last] = [known[0], known.at(-1)].map(this.spec.format);
      return `${one.label}: now ${last}, at the start ${first}, at most ${this.spec.format(Math.max(...known))}`;
    });
    return `${this.spec.title}. ${words.join(". ")}.`;
  }
}

export function nearest(data, at) {
  let low = 0;
  let high = data.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data[middle][0] < at) low = middle + 1;
    else high = middle;
  }
  const before = data[low - 1];
  return before !== undefined && at - before[0] < data[low][0] - at ? before : data[low];
}

// Runs of known values; a gap in time or an unknown value ends one.
function* runs(data, from, step) {
  let run = [];
  for (const point of data) {
    const [time, value] = point;
    if (time < from) continue;
    if (value === null || (run.length && time - run.at(-1)[0] > 3.5 * step)) {
      if (run.length) yield run;
      run = [];
    }
    if (value !== null) run.push(point);
  }
  if (run.length) yield run;
}

const path = (run, x, y) => run.map(([time, value], index) => `${index ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");

function* line(one, x, y, from, step) {
  for (const run of runs(one.data, from, step)) {
    const d = path(run, x, y);
    if (one.kind === "area") {
      yield svg("path", { class: `area ${one.tint}`, d: `${d}L${x(run.at(-1)[0]).toFixed(1)} ${y(0)}L${x(run[0][0]).toFixed(1)} ${y(0)}Z` });
    }
    yield svg("path", { class: `line ${one.kind === "area" ? "edge" : one.kind} ${one.tint}`, d: run.length > 1 ? d : `${d}h0.01` });
  }
}

function band(one, x, y, from, step) {
  const [lower, upper] = one.edges;
  const upperAt = new Map(upper);
  let d = "";
  for (const run of runs(lower.filter(([time]) => upperAt.get(time) !== null), from, step)) {
    const back = run.map(([time]) => [time, upperAt.get(time)]).reverse();
    d += `${path(run, x, y)}${path(back, x, y).replace("M", "L")}Z`;
  }
  return svg("path", { class: `band ${one.tint}`, d });
}

// A thin strip on the base line: the state at each moment.
function* strip(data, states, x, from, step) {
  let start = 0;
  const kept = data.filter(([time]) => time >= from);
  for (let index = 1; index <= kept.length; index += 1) {
    const [time, code] = kept[start];
    if (index < kept.length && kept[index][1] === code) continue;
    const end = kept[Math.min(index, kept.length - 1)][0];
    if (code !== null) {
      const width = Math.max(x(Math.min(end, time + 3600)) - x(time), 1.5);
      yield svg("rect", { class: "strip", "data-state": states[code], x: x(time), y: HEIGHT - MARGIN.bottom - 2.5, width, height: 5 });
    }
    start = index;
  }
}

// Names at the right end, pushed apart where lines end close together. A line that ended earlier keeps its own.
function labels(series, x, y, left, inner) {
  const last = (one) => one.data.findLast(([, value]) => value !== null)[1];
  const placed = series
    .filter((one) => one.label)
    .map((one) => ({ one, y: y(last(one)) + 4 }))
    .sort((a, b) => a.y - b.y);
  placed.forEach((label, index) => {
    if (index) label.y = Math.max(label.y, placed[index - 1].y + LABEL_GAP);
  });
  const excess = (placed.at(-1)?.y ?? 0) - (MARGIN.top + inner.height + 4);
  if (excess > 0) {
    for (let index = placed.length - 1; index >= 0; index -= 1) {
      const ceiling = index === placed.length - 1 ? Infinity : placed[index + 1].y - LABEL_GAP;
      placed[index].y = Math.min(index === placed.length - 1 ? placed[index].y - excess : placed[index].y, ceiling);
    }
  }
  return placed.map((label) => svg("text", { class: `name ${label.one.tint}`, x: left + 8, y: label.y }, label.one.label));
}
