// The first thing that is read: which engine is in trouble, why, and what to do.

import { advised, byId, h, stateIcon } from "./dom.js";
import { rate } from "./format.js";

// What one engine does in each state, and what several do.
const PREDICATES = {
  hung: ["hangs", "hang"],
  overloaded: ["is overloaded", "are overloaded"],
  evicting: ["throws work out", "throw work out"],
  saturated: ["is at its limit", "are at their limit"],
  approaching: ["is near its limit", "are near their limit"],
  standing: ["has a standing queue", "have a standing queue"],
  draining: ["empties its queue", "empty their queues"],
  unknown: ["cannot be judged", "cannot be judged"],
  warming_up: ["is being learnt", "are being learnt"],
  fine: ["has room", "have room"],
  idle: ["is idle", "are idle"],
};
const CALM = new Set(["fine", "idle", "warming_up", "unknown"]);

export const nameOf = (engine) => (engine.engine === "0" ? engine.model_name : `${engine.model_name} / ${engine.engine}`);

export function headline(engines) {
  const worst = engines[0];
  const same = engines.filter((engine) => engine.state === worst.state).length;
  const [one, many] = PREDICATES[worst.state] ?? PREDICATES.unknown;
  if (engines.length === 1) return `${nameOf(worst)} ${one}`;
  if (CALM.has(worst.state)) {
    const all = engines.length === 2 ? "Both engines" : `All ${engines.length} engines`;
    if (same === engines.length) return `${all} ${many}`;
    if (engines.every((engine) => engine.state === "fine" || engine.state === "idle")) return `${all} have room`;
  }
  return `${same} of ${engines.length} engines ${same === 1 ? one : many}`;
}

function calmWords(engines) {
  const arrival = engines.reduce((sum, engine) => sum + (engine.arrival_rate ?? 0), 0);
  const known = engines.filter((engine) => engine.service_rate !== undefined);
  const service = known.reduce((sum, engine) => sum + engine.limit * engine.service_rate, 0);
  if (!known.length) return "How much can be served is known after a minute or two of traffic.";
  return `${rate(arrival)} of ${rate(service)} requests/s are used.`;
}

function trouble(engine) {
  return [
    h("p", { class: "why" }, h("strong", {}, nameOf(engine)), h("span", { class: "where" }, ` on ${engine.target}`)),
    h("p", { class: "why" }, [engine.sentence, engine.because].filter(Boolean).join(" ")),
    engine.action ? h("p", { class: "do" }, h("span", { class: "label" }, "Do"), h("span", {}, ...advised(engine.action, engine.command))) : null,
  ];
}

let last = "";

export function showVerdict(engines, troubled) {
  const node = byId("verdict");
  const text = JSON.stringify([engines[0]?.key, engines[0]?.sentence, engines[0]?.action, engines.length && headline(engines), troubled]);
  if (text === last) return; // so that a screen reader is told of changes only
  last = text;
  if (!engines.length) {
    node.dataset.state = troubled ? "hung" : "warming_up";
    const advice = "See whether vLLM runs there, and whether this machine reaches it: curl its /metrics.";
    node.replaceChildren(
      h("h1", {}, troubled ? "No engine can be seen" : "No engine has been read yet"),
      h("p", { class: "why" }, troubled ? "None of the servers below answers as an engine does." : "kvwatch reads /metrics of each target once a second; an engine shows as soon as one answers."),
      ...(troubled ? [h("p", { class: "do" }, h("span", { class: "label" }, "Do"), h("span", {}, advice))] : []),
    );
    return;
  }
  const worst = engines[0];
  node.dataset.state = worst.state;
  const calm = CALM.has(worst.state);
  const lines = engines.length === 1 || !calm ? trouble(worst) : [h("p", { class: "why" }, calmWords(engines))];
  node.replaceChildren(h("h1", {}, stateIcon(worst.state), headline(engines)), ...lines.filter(Boolean));
}
