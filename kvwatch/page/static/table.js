// The fleet: one row an engine, the one that needs somebody first on top.

import { byId, command, h, stateIcon, svg } from "./dom.js";
import { about, count, DASH, duration, percent, plural, rate, since } from "./format.js";
import { fleet } from "./stream.js";
import { isCalm, nameOf } from "./verdict.js";

// So many that the engine below is not far; those that need somebody are shown beyond it, as far as one reads.
const FIRST_ROWS = matchMedia("(max-width: 880px)").matches ? 4 : 12;
const MOST_TROUBLED = 12;
const BAR_END = 1.4; // ρ at the right end of the bar

const COLUMNS = [
  ["State", "state", stateCell],
  ["Engine", "name", nameCell],
  ["Load", "load", loadCell],
  ["Room, req/s", "room", roomCell],
  ["Runs out first", "limit", (engine) => [engine.binds ?? DASH]],
  ["Queue", "queue", queueCell],
  ["Outlook", "outlook", outlookCell],
  ["First token, p95", "latency", latencyCell],
  ["Replicas", "replicas", replicasCell],
  ["What to set", "set", setCell],
];

const rows = new Map(); // by key: the row, and the JSON that it shows
let filter = null;
let all = false;
let names = {};

export function begin(stateNames) {
  names = stateNames;
  byId("engines").tHead.replaceChildren(
    h("tr", {}, ...COLUMNS.map(([title, kind]) => h("th", { scope: "col", class: kind }, title))),
  );
}

export function showTable(engines, selected, redraw) {
  byId("fleet").hidden = engines.length < 2;
  if (filter !== null && !engines.some((engine) => engine.state === filter)) filter = null;
  showStates(engines, redraw);
  const wanted = filter === null ? engines : engines.filter((engine) => engine.state === filter);
  const troubled = wanted.filter((engine) => !isCalm(engine)).length;
  const first = Math.max(FIRST_ROWS, Math.min(troubled, MOST_TROUBLED));
  const shown = all ? wanted : wanted.slice(0, first);
  const body = byId("engines").tBodies[0];
  const kept = new Set(shown.map((engine) => engine.key));
  for (const [key, row] of rows) {
    if (!kept.has(key)) {
      row.node.remove();
      rows.delete(key);
    }
  }
  shown.forEach((engine, place) => {
    const node = rowOf(engine, engine.key === selected);
    if (body.rows[place] !== node) body.insertBefore(node, body.rows[place] ?? null);
  });
  const more = byId("more");
  more.hidden = wanted.length <= first;
  more.textContent = all ? `Show the first ${first}` : `Show all ${plural(wanted.length, "engine")}`;
  more.onclick = () => {
    all = !all;
    redraw();
  };
}

function rowOf(engine, selected) {
  const text = JSON.stringify(engine);
  let row = rows.get(engine.key);
  if (row === undefined) {
    const cells = COLUMNS.map(([title, kind]) => h("td", { class: kind, "data-title": title }));
    const node = h("tr", {}, ...cells);
    node.addEventListener("click", (event) => {
      if (!event.target.closest("a, button")) location.hash = engine.key;
    });
    row = { node, text: "" };
    rows.set(engine.key, row);
  }
  row.node.classList.toggle("selected", selected);
  if (row.text === text) return row.node;
  row.text = text;
  row.node.dataset.state = engine.state;
  COLUMNS.forEach(([, kind, cell], place) => {
    const node = row.node.cells[place];
    // the link keeps the focus of whoever has come to it by keyboard
    if (kind === "name" && node.firstChild) return;
    if (kind === "queue") node.classList.toggle("none", !engine.waiting);
    node.replaceChildren(...cell(engine));
  });
  return row.node;
}

function showStates(engines, redraw) {
  const counts = new Map();
  for (const engine of engines) counts.set(engine.state, (counts.get(engine.state) ?? 0) + 1);
  const node = byId("states");
  node.hidden = engines.length < 8;
  const text = JSON.stringify([[...counts], filter]);
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  const buttons = [...counts].map(([state, number]) => {
    const attributes = { type: "button", class: "filter", "data-state": state, "aria-pressed": String(filter === state) };
    const button = h("button", attributes, stateIcon(state), h("b", {}, String(number)), ` ${names[state] ?? state}`);
    button.addEventListener("click", () => {
      filter = filter === state ? null : state;
      redraw();
    });
    return button;
  });
  const strip = h("div", { class: "strip", "aria-hidden": "true" });
  for (const [state, number] of counts) {
    const part = h("i", { "data-state": state });
    part.style.flexGrow = String(number);
    strip.append(part);
  }
  node.replaceChildren(strip, h("div", { class: "buttons" }, ...buttons));
}

function stateCell(engine) {
  const chip = h("span", { class: "chip" }, stateIcon(engine.state), names[engine.state] ?? engine.state);
  return [chip, isCalm(engine) ? null : h("small", { class: "since" }, since(engine.since, fleet.at))].filter(Boolean);
}

function nameCell(engine) {
  return [h("a", { href: `#${engine.key}` }, nameOf(engine)), h("small", {}, engine.target)];
}

function loadCell(engine) {
  if (engine.load === undefined) return [DASH];
  const [low, high] = [percent(engine.load_lower), percent(engine.load_upper)];
  return [h("b", {}, percent(engine.load)), h("small", {}, low === high ? "" : `${low}–${high}`), loadBar(engine)];
}

function loadBar(engine) {
  const x = (value) => (100 * Math.min(Math.max(value, 0), BAR_END)) / BAR_END;
  const parts = [svg("rect", { class: "track", width: 100, height: 8, y: 3, rx: 1.5 })];
  parts.push(svg("rect", { class: "used", width: x(engine.load), height: 8, y: 3, rx: 1.5 }));
  if (engine.load_lower !== undefined) {
    const [low, high] = [x(engine.load_lower), x(engine.load_upper)];
    parts.push(svg("rect", { class: "band", x: low, width: Math.max(high - low, 0.5), height: 4, y: 5 }));
  }
  parts.push(svg("path", { class: "mark", d: `M${x(engine.limit)} 0V14` }));
  return svg("svg", { class: "bar", viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" }, ...parts);
}

function roomCell(engine) {
  if (engine.room === undefined) return engine.arrival_rate === undefined ? [DASH] : [rate(engine.arrival_rate), h("span", { class: "unit" }, " req/s"), " arrive"];
  const unit = h("span", { class: "unit" }, " req/s"); // on a phone the column has no head
  const words = engine.room > 0 ? [h("b", {}, rate(engine.room)), unit, " left"] : [h("b", {}, "no room")];
  const used = `${rate(engine.arrival_rate)} of ${rate(engine.limit * engine.service_rate)}`;
  if (engine.state === "draining") return [...words, h("small", {}, "once its queue is empty")]; // till then one waits
  return [...words, h("small", {}, used, engine.room > 0 ? "" : unit)];
}

function queueCell(engine) {
  if (engine.waiting === undefined) return [DASH];
  if (!engine.waiting) return ["none"];
  const slope = engine.queue_slope ?? 0;
  const trend = Math.abs(slope) < 0.05 ? null : h("small", {}, `${slope > 0 ? "+" : "−"}${rate(Math.abs(slope))} /s`);
  return [h("b", {}, count(engine.waiting)), " wait", trend].filter(Boolean);
}

function outlookCell(engine) {
  if (engine.state === "overloaded") return ["full now"];
  if (engine.drain_seconds !== undefined) return [`empty in ${about(engine.drain_seconds)}`];
  if (engine.state === "approaching" && engine.seconds_to_limit) return [h("b", {}, `full in ${about(engine.seconds_to_limit)}`)];
  if (engine.arrival_rate_slope === undefined) return [engine.load === undefined ? DASH : "steady"];
  return ["rising"];
}

function latencyCell(engine) {
  if (engine.ttft_seconds === undefined && engine.itl_seconds === undefined) return [DASH];
  return [duration(engine.ttft_seconds), h("small", {}, `${duration(engine.itl_seconds)} between tokens`)];
}

function replicasCell(engine) {
  if (engine.replicas_required === undefined) return [DASH];
  const { replicas } = engine;
  const needed = count(engine.replicas_required);
  if (replicas === undefined) return [`${needed} needed`];
  return [h(engine.replicas_required > replicas ? "b" : "span", {}, `${needed} needed`), h("small", {}, `${count(replicas)} now`)];
}

function setCell(engine) {
  if (!engine.command) return [];
  return [command(engine.command), engine.gain === undefined ? "" : h("small", {}, `${percent(engine.gain)} more, by a restart`)];
}
