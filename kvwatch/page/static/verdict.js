// The first thing that is read: which engine is in trouble, why, and what to do.

import { advised, byId, h, stateIcon } from "./dom.js";
import { plural, rate, since } from "./format.js";
import { about, fleet } from "./stream.js";

// What one engine does in each state, and what several do.
const PREDICATES = {
  hung: ["hangs", "hang"],
  overloaded: ["is overloaded", "are overloaded"],
  evicting: ["evicts requests", "evict requests"],
  saturated: ["is at its limit", "are at their limit"],
  approaching: ["is near its limit", "are near their limit"],
  standing: ["has a queue that does not empty", "have a queue that does not empty"],
  draining: ["is catching up", "are catching up"],
  unknown: ["cannot be judged", "cannot be judged"],
  warming_up: ["is warming up", "are warming up"],
  fine: ["has room", "have room"],
  idle: ["is idle", "are idle"],
};
const CALM = new Set(["fine", "idle", "warming_up", "unknown"]);
// An engine that cannot be judged and should be is no calm one: no page warns of its overload.
export const isCalm = (engine) => CALM.has(engine.state) && !engine.action;

export const nameOf = (engine) => (engine.engine === "0" ? engine.model_name : `${engine.model_name} / ${engine.engine}`);

export function headline(engines) {
  const worst = engines[0];
  const same = engines.filter((engine) => engine.state === worst.state).length;
  const [one, many] = PREDICATES[worst.state] ?? PREDICATES.unknown;
  if (engines.length === 1) return `${nameOf(worst)} ${one}`;
  if (isCalm(worst)) {
    const all = engines.length === 2 ? "Both engines" : `All ${engines.length} engines`;
    if (same === engines.length) return `${all} ${many}`;
    if (engines.every((engine) => engine.state === "fine" || engine.state === "idle")) return `${all} have room`;
  }
  return `${same} of ${engines.length} engines ${same === 1 ? one : many}`;
}

function calmWords(engines) {
  const known = engines.filter((engine) => engine.service_rate !== undefined && engine.arrival_rate !== undefined);
  const arrival = known.reduce((sum, engine) => sum + engine.arrival_rate, 0);
  const service = known.reduce((sum, engine) => sum + engine.limit * engine.service_rate, 0);
  if (!known.length) return "How much can be served is known after a minute or two of traffic.";
  return `${rate(arrival)} of ${rate(service)} requests/s are used.`;
}

function trouble(engine) {
  return [
    h("p", { class: "why" }, h("strong", {}, nameOf(engine)), h("span", { class: "where" }, ` on ${[engine.target, since(engine.since, fleet.at)].filter(Boolean).join(", ")}`)),
    h("p", { class: "why" }, [engine.sentence, engine.because].filter(Boolean).join(" ")),
    engine.action ? toDo(...advised(engine.action, engine.command, about.runbooks)) : null,
  ];
}

// Servers that show nothing are told of above the fold: what is not seen is not well.
function outOfSight({ count, targets }, begin = `${plural(count, "server does", "servers do")} not answer: `) {
  if (!count) return [];
  const named = targets.slice(0, 3).map(({ target, problem }) => `${target} (${problem ?? "not read yet"})`);
  const rest = count > named.length ? ` and ${count - named.length} more` : "";
  return [h("p", { class: "why" }, h("strong", {}, begin), `${named.join(", ")}${rest}.`)];
}

const MOST_OTHERS = 4; // links; the table has them all

// Whoever else needs somebody, above the fold on a phone too: the gravest first, each a link to its hour.
function others(engines) {
  const rest = engines.slice(1).filter((engine) => !isCalm(engine));
  if (!rest.length) return [];
  const parts = [];
  let last = null;
  for (const engine of rest.slice(0, MOST_OTHERS)) {
    const name = (about.states[engine.state] ?? engine.state).toLowerCase();
    parts.push(engine.state === last ? ", " : `${last === null ? "" : "; "}${name}: `);
    parts.push(h("a", { href: `#${engine.key}` }, named(engine, engines)));
    last = engine.state;
  }
  if (rest.length > MOST_OTHERS) parts.push(` and ${rest.length - MOST_OTHERS} more`);
  return [h("p", { class: "why others" }, h("strong", {}, "Also "), ...parts)];
}

// A model has several engines as a rule: then only the server tells them apart.
function named(engine, engines) {
  const alone = engines.filter((other) => nameOf(other) === nameOf(engine)).length === 1;
  return alone ? nameOf(engine) : `${nameOf(engine)} on ${engine.target}`;
}

const LOOK = "See whether vLLM runs there, and whether this machine reaches it: curl its /metrics.";
const toDo = (...words) => h("p", { class: "do" }, h("span", { class: "label" }, "Do"), h("span", {}, ...words));

let last = "";

// `silent` are servers that do not answer, `noted` those that answer with what cannot be read.
export function showVerdict(engines, silent, noted) {
  const node = byId("verdict");
  const worst = engines[0];
  const troubled = silent.count + noted.count;
  const rest = engines.slice(1).filter((engine) => !isCalm(engine)).map((engine) => [engine.key, engine.state]);
  const text = JSON.stringify([worst?.key, worst?.sentence, worst?.action, worst?.since, rest, engines.length && headline(engines), troubled, silent.targets]);
  if (text === last) return; // so that a screen reader is told of changes only
  last = text;
  if (worst === undefined) {
    node.dataset.state = troubled ? "hung" : "warming_up";
    node.replaceChildren(
      h("h1", {}, stateIcon(troubled ? "silent" : "warming_up"), troubled ? "No engine can be seen" : "No engine has been read yet"),
      h("p", { class: "why" }, troubled ? "None of the servers below answers as an engine does." : "kvwatch reads /metrics of each target once a second; an engine shows as soon as one answers."),
      ...(troubled ? [toDo(LOOK)] : []),
    );
    return;
  }
  const calm = isCalm(worst);
  if (calm && silent.count) {
    node.dataset.state = "silent";
    const title = `${plural(silent.count, "server does", "servers do")} not answer; ${lowered(headline(engines))}`;
    node.replaceChildren(h("h1", {}, stateIcon("silent"), title), ...outOfSight(silent, ""), toDo(LOOK));
    return;
  }
  node.dataset.state = worst.state;
  const lines = engines.length === 1 || !calm ? trouble(worst) : [h("p", { class: "why" }, calmWords(engines))];
  node.replaceChildren(h("h1", {}, stateIcon(worst.state), headline(engines)), ...lines.filter(Boolean), ...others(engines), ...outOfSight(silent));
}

// A headline within another; a model's name stays as it is.
const lowered = (words) => words.replace(/^(All|Both) /, (word) => word.toLowerCase());
