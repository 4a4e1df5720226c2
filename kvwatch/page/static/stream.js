// The stream of events: keeps what is known of the fleet and of the engine that is looked at.

const engines = new Map(); // by key, in brief
let source = null;
let columns = [];

export const fleet = { engines: [], silent: { count: 0, targets: [] }, noted: { count: 0, targets: [] }, targets: 0, at: 0 };
export const looked = { key: "", times: [], rows: [], now: null, document: null, summary: null, at: 0 };
export const about = { version: "", tickSeconds: 2, stepSeconds: 5, states: {}, limits: {}, runbooks: [] };

// Opens the stream anew for the engine `key`. `on` is told "hello", "fleet", "engine" and "lost".
export function open(key, on) {
  source?.close();
  if (looked.key !== key) Object.assign(looked, { key, times: [], rows: [], now: null, document: null, summary: null });
  engines.clear();
  source = new EventSource(`api/v1/stream${key ? `?${key}` : ""}`);
  const listen = (name, take) =>
    source.addEventListener(name, (event) => {
      take(JSON.parse(event.data));
      on(name);
    });
  listen("hello", takeHello);
  listen("fleet", takeFleet);
  listen("history", ({ t, rows }) => Object.assign(looked, { times: t, rows }));
  listen("points", takePoints);
  listen("engine", ({ t, now, engine, summary }) => Object.assign(looked, { at: t, now, document: engine, summary }));
  source.onerror = () => {
    engines.clear(); // the browser connects again by itself, and is sent everything
    on("lost");
  };
}

function takeHello(hello) {
  ({ columns } = hello);
  about.version = hello.version;
  about.tickSeconds = hello.tick_seconds;
  about.stepSeconds = hello.step_seconds;
  about.states = hello.states;
  about.limits = hello.limits;
  about.runbooks = hello.runbooks;
  engines.clear();
}

function takeFleet(event) {
  for (const engine of event.engines) engines.set(engine.key, engine);
  for (const key of event.gone) engines.delete(key);
  fleet.engines = [...engines.values()].sort(closestFirst);
  fleet.silent = { count: event.silent_count, targets: event.silent };
  fleet.noted = { count: event.noted_count, targets: event.noted };
  fleet.targets = event.targets;
  fleet.at = event.t;
}

function takePoints({ t, rows }) {
  const oldest = (t.at(-1) ?? 0) - 3600;
  const kept = looked.times.findIndex((time) => time >= oldest);
  looked.times = [...(kept < 0 ? [] : looked.times.slice(kept)), ...t];
  looked.rows = [...(kept < 0 ? [] : looked.rows.slice(kept)), ...rows];
}

// The gravest state first, then the largest share of the limit; names decide between equals, so that rows stay put.
function closestFirst(a, b) {
  const used = (engine) => (engine.load ?? 0) / engine.limit;
  return b.rank - a.rank || Math.round(50 * (used(b) - used(a))) || a.key.localeCompare(b.key);
}

// The history of one column with the newest row at its end: [[time, value], …].
export function points(name) {
  const place = columns.indexOf(name);
  const found = looked.times.map((time, index) => [time, looked.rows[index][place]]);
  if (looked.now !== null && looked.at > (looked.times.at(-1) ?? 0)) found.push([looked.at, looked.now[place]]);
  return found;
}
