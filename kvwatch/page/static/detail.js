// One engine: how it is, what binds and why, what to do, whether to believe it, and its last hour.

import { Chart, nearest, spanOf } from "./chart.js";
import { advised, byId, h, stateIcon } from "./dom.js";
import { about as soon, clock, count, DASH, duration, durationTick, durationUnit, percent, rate, rateTick, since } from "./format.js";
import { about, fleet, looked, points } from "./stream.js";
import { nameOf } from "./verdict.js";

const CHARTS = [
  {
    title: "Load, against its limit",
    format: percent,
    least: 1.1,
    strip: "state",
    states: () => Object.keys(about.states),
    series: [
      { column: "utilization", label: "load ρ", kind: "line", tint: "demand", band: ["utilization_lower", "utilization_upper"] },
      { column: "limit", label: "limit", kind: "limit", tint: "limit" },
    ],
  },
  {
    title: "Requests/s, and what each limit allows",
    format: rate,
    tick: rateTick,
    series: [
      { column: "service_rate_kv", label: "KV memory", kind: "faint", tint: "kv", silent: true },
      { column: "service_rate_seqs", label: "seats", kind: "faint", tint: "seqs", silent: true },
      { column: "service_rate_tokens", label: "token budget", kind: "faint", tint: "tokens", silent: true },
      { column: "service_rate", label: "can serve μ", kind: "limit", tint: "limit", band: ["service_rate_lower", "service_rate_upper"] },
      { column: "observed_service_rate", label: "served", kind: "dots", tint: "observed" },
      { column: "arrival_rate", label: "arrives λ", kind: "line", tint: "demand" },
    ],
  },
  {
    title: "Requests inside",
    format: count,
    least: 4,
    series: [
      { column: "running_requests", label: "running", kind: "line", tint: "demand" },
      { column: "queue_length", label: "waiting", kind: "area", tint: "waiting" },
    ],
  },
  {
    title: "KV cache in use",
    format: percent,
    top: 1,
    series: [{ column: "kv_usage_ratio", label: "in use", kind: "area", tint: "demand" }],
  },
  {
    title: "Time to first token",
    format: duration,
    tick: durationTick,
    unit: durationUnit,
    answers: true,
    least: 0.01,
    series: [
      { column: "ttft_p95", label: "p95", kind: "line", tint: "demand" },
      { column: "ttft_p50", label: "median", kind: "faint", tint: "muted" },
    ],
  },
  {
    title: "Time between tokens",
    format: duration,
    tick: durationTick,
    unit: durationUnit,
    answers: true,
    least: 0.001,
    series: [
      { column: "itl_p95", label: "p95", kind: "line", tint: "demand" },
      { column: "itl_p50", label: "median", kind: "faint", tint: "muted" },
    ],
  },
];
const TABLE_ROWS = 13;

let charts = null;
let nodes = null;
let shown = "";
let at = null; // the time under the pointer

export function showDetail() {
  const { summary } = looked;
  const section = byId("detail");
  section.hidden = summary === null;
  if (summary === null) return;
  if (nodes === null) build(section);
  section.dataset.state = summary.state;
  nodes.title.replaceChildren(nameOf(summary), h("small", {}, summary.target));
  nodes.state.replaceChildren(stateIcon(summary.state), about.states[summary.state] ?? summary.state);
  nodes.since.textContent = since(summary.since, looked.at);
  nodes.sentence.textContent = [summary.sentence, summary.because].filter(Boolean).join(" ");
  nodes.sentence.hidden = fleet.engines.length === 1; // it stands above already
  const text = JSON.stringify([looked.document]);
  if (text !== shown) {
    shown = text;
    nodes.facts.replaceChildren(...facts());
    nodes.facts.hidden = !nodes.facts.childElementCount;
    nodes.advice.replaceChildren(...advice());
    nodes.doubts.replaceChildren(...doubts());
  }
  drawCharts();
}

function build(section) {
  nodes = {
    title: h("h2", {}),
    state: h("span", { class: "chip" }),
    since: h("span", { class: "muted" }),
    sentence: h("p", { class: "why" }),
    facts: h("dl", { class: "facts" }),
    advice: h("div", { class: "advice" }),
    doubts: h("div", { class: "doubts" }),
    live: h("p", { class: "unseen", "aria-live": "polite" }),
    table: h("details", { class: "numbers" }, h("summary", {}, "The same as numbers"), h("div", { class: "scroll" })),
  };
  charts = CHARTS.map((spec) => new Chart(spec));
  const grid = h("div", { class: "charts", tabindex: 0, role: "group", "aria-label": "The last hour; arrow keys move through time" });
  for (const chart of charts) {
    grid.append(chart.node);
    chart.plot.addEventListener("pointermove", (event) => point(chart, event));
    chart.plot.addEventListener("pointerleave", () => move(null));
  }
  grid.addEventListener("keydown", step);
  new ResizeObserver(() => requestAnimationFrame(drawCharts)).observe(grid);
  nodes.table.addEventListener("toggle", showNumbers);
  section.replaceChildren(
    h("header", { class: "head" }, nodes.title, nodes.state, nodes.since, nodes.sentence),
    h("div", { class: "columns" }, h("aside", {}, nodes.advice, nodes.facts, nodes.doubts), h("div", {}, grid, nodes.live, nodes.table)),
  );
}

function drawCharts() {
  if (charts === null || looked.summary === null) return;
  const now = Math.max(looked.at, looked.times.at(-1) ?? 0);
  const span = spanOf(looked.times, now);
  // the limit that binds is drawn once, as what can be served
  const binds = Object.keys(looked.document.binding_limit ?? {}).map((limit) => `service_rate_${limit}`);
  const shown = (column) => (binds.includes(column) ? [] : points(column));
  for (const chart of charts) chart.draw({ points: shown, now, span, step: about.stepSeconds, at, missing: missing(chart.spec) });
  if (nodes.table.open) showNumbers();
}

// Why a chart has nothing to show of the whole hour.
function missing(spec) {
  const { state, doubts } = looked.summary;
  if (state === "hung") return "Nothing is estimated while it hangs.";
  if (spec.answers) return "No request has been answered in this hour.";
  if (state === "unknown") return doubts?.length ? `Not known: ${doubts[0]}.` : "Not known.";
  return state === "idle" ? "Nothing has arrived in this hour." : "Not known yet.";
}

function point(chart, event) {
  if (chart.scale === undefined) return;
  const box = chart.plot.getBoundingClientRect();
  const now = Math.max(looked.at, looked.times.at(-1) ?? 0);
  const share = (event.clientX - box.left - chart.scale.left) / chart.scale.width;
  move(share < 0 || share > 1 ? null : now - (1 - share) * spanOf(looked.times, now));
}

function step(event) {
  const now = Math.max(looked.at, looked.times.at(-1) ?? 0);
  const span = spanOf(looked.times, now);
  const moves = { ArrowLeft: -span / 60, ArrowRight: span / 60, Home: -span, End: span };
  if (event.key === "Escape") move(null);
  else if (event.key in moves) {
    event.preventDefault();
    at = Math.min(Math.max((at ?? now) + moves[event.key], now - span), now);
    drawCharts();
    nodes.live.textContent = charts.map((chart) => `${chart.spec.title}: ${chart.readout.textContent}`).join(". ");
  }
}

function move(time) {
  at = time;
  requestAnimationFrame(drawCharts);
}

function facts() {
  const { document: d, summary: s } = looked;
  const between = (low, high, format) => (low === undefined ? "" : ` (${format(low)}–${format(high)})`);
  const limits = Object.entries(d.service_rate_limit ?? {}).map(([limit, value]) => `${about.limits[limit] ?? limit} ${rate(value)}`);
  const steps = d.step_seconds ?? {};
  const rows = [
    ["Arrives", s.arrival_rate === undefined ? DASH : `${rate(s.arrival_rate)} requests/s`],
    ["Can serve", d.service_rate === undefined ? DASH : `${rate(d.service_rate)} requests/s${between(d.service_rate_lower, d.service_rate_upper, rate)}`],
    ["Load", s.load === undefined ? DASH : `${percent(s.load)}${between(s.load_lower, s.load_upper, percent)}, limit ${percent(s.limit)}`],
    ["By limit", limits.join(" · ") || DASH],
    ["Runs, waits", s.running === undefined ? DASH : `${count(s.running)}, ${count(s.waiting)}`],
    ["Tokens", tokens(d)],
    ["Queue empty in", s.drain_seconds === undefined ? null : soon(s.drain_seconds)],
    ["KV cache", s.kv_usage === undefined ? DASH : `${percent(s.kv_usage)}${d.kv_capacity_tokens === undefined ? "" : ` of ${count(d.kv_capacity_tokens)} tokens`}`],
    ["Settings", settings(d) || null],
    ["Step", steps.trimmed_mean === undefined ? DASH : `${duration(steps.trimmed_mean)} now, ${duration(steps.saturated)} when full`],
    ["First token, p95", latency(d, "ttft")],
    ["Between tokens, p95", latency(d, "itl")],
    ["Latency target", target(d)],
    ["Evictions", d.preemptions_per_request === undefined ? DASH : d.preemptions_per_request ? `${d.preemptions_per_request.toFixed(2)} a request` : "none"],
    ["Replicas", s.replicas_required === undefined ? DASH : `${count(s.replicas_required)} needed${s.replicas === undefined ? "" : `, ${count(s.replicas)} now`}`],
  ];
  // of a hung engine nothing is estimated: a column of dashes says no more than the sentence
  const told = s.state === "hung" ? rows.filter(([, value]) => value !== DASH) : rows;
  return told.filter(([, value]) => value !== null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}

// What users felt in the last minute, and what the load leads to where that is predicted.
function latency(d, kind) {
  const seen = d.observed_latency_seconds?.[kind]?.["0.95"];
  const predicted = d.latency_seconds?.[kind]?.["0.95"];
  if (predicted === undefined) return null;
  const low = d.latency_seconds_lower?.[kind]?.["0.95"];
  const high = d.latency_seconds_upper?.[kind]?.["0.95"];
  const between = low === undefined || high === undefined ? "" : ` (${duration(low)}–${duration(high)})`;
  return `${seen === undefined ? DASH : duration(seen)} seen, ${duration(predicted)} predicted${between}`;
}

function tokens(d) {
  const { prompt, output } = d.token_rate ?? {};
  return prompt === undefined && output === undefined ? null : `${count(prompt)}/s in, ${count(output)}/s out`;
}

function target(d) {
  const words = { wait: "waiting time", ttft: "first token", itl: "between tokens" };
  const rates = Object.entries(d.slo_service_rate ?? {});
  return rates.length ? rates.map(([kind, value]) => `${words[kind] ?? kind}: met up to ${rate(value)} requests/s`).join(" · ") : null;
}

// vLLM's settings that decide what an engine can serve, each with where it is from.
function settings(d) {
  const units = { max_num_seqs: "seats", max_num_batched_tokens: "tokens a step" };
  return Object.entries(d.settings ?? {})
    .filter(([name, setting]) => name in units && setting.value !== undefined)
    .map(([name, setting]) => `${count(setting.value)} ${units[name]} (${setting.source.replace("_", " ")})`)
    .join(", ");
}

function advice() {
  const { document: d, summary: s } = looked;
  const lines = (d.advice ?? []).map((line) => h("p", {}, line));
  const first = s.action ? h("p", { class: "first" }, ...advised(s.action, s.command, about.runbooks)) : h("p", { class: "muted" }, "Nothing.");
  return [h("h3", {}, "What to do"), first, ...lines];
}

function doubts() {
  const found = looked.summary.doubts ?? [];
  if (looked.document.service_rate === undefined && !found.length) return [];
  if (!found.length) return [h("h3", {}, "Can it be believed?"), h("p", { class: "muted" }, "Yes: nothing speaks against these numbers.")];
  return [h("h3", {}, "Can it be believed?"), h("ul", {}, ...found.map((words) => h("li", {}, words[0].toUpperCase() + words.slice(1) + ".")))];
}

// A table of the same, a row each five minutes or so, for whoever cannot see a line.
function showNumbers() {
  if (!nodes.table.open) return;
  const now = looked.at;
  const span = spanOf(looked.times, now);
  const columns = CHARTS.flatMap((spec) => spec.series.filter((one) => !one.silent).map((one) => ({ ...one, format: spec.format, title: spec.title, data: points(one.column) })));
  const times = Array.from({ length: TABLE_ROWS }, (_, index) => now - (span * index) / (TABLE_ROWS - 1));
  const cell = ({ data, format }, time) => {
    const found = nearest(data, time);
    return found === undefined || Math.abs(found[0] - time) > span / TABLE_ROWS || found[1] === null ? DASH : format(found[1]);
  };
  nodes.table.lastElementChild.replaceChildren(
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), ...columns.map((one) => h("th", { scope: "col" }, one.label)))),
      h("tbody", {}, ...times.map((time) => h("tr", {}, h("th", { scope: "row" }, clock(time)), ...columns.map((one) => h("td", {}, cell(one, time)))))),
    ),
  );
}
