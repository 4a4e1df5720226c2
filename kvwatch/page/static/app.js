// Puts the parts together: what is looked at follows the address, what is shown follows the stream.

import { showDetail } from "./detail.js";
import { byId, h } from "./dom.js";
import { clock, plural } from "./format.js";
import { about, fleet, looked, open } from "./stream.js";
import { begin, showTable } from "./table.js";
import { showVerdict } from "./verdict.js";

const STILL_SECONDS = 3; // of silence, in ticks, after which the numbers are called old

let heard = 0;
let asked = null;

const inAddress = () => location.hash.slice(1);

// The engine that is looked at: the one in the address, else the one on top when the page was opened.
function follow() {
  const key = inAddress() || fleet.engines[0]?.key || "";
  if (key === asked) return;
  asked = key;
  open(key, take);
}

function take(event) {
  heard = Date.now();
  if (event === "lost") return showLive(false);
  if (event === "hello") {
    begin(about.states);
    showFooter();
  }
  if (event === "fleet") {
    if (asked === "" && fleet.engines.length) follow();
    draw();
  }
  if (event === "engine") showDetail();
  showLive(true);
}

function draw() {
  showVerdict(fleet.engines, fleet.silent, fleet.noted);
  showTable(fleet.engines, looked.key, draw);
  const { silent, noted } = fleet;
  showTargets("silent", silent, `${plural(silent.count, "server does", "servers do")} not answer`);
  showTargets("noted", noted, `${plural(noted.count, "server shows or logs", "servers show or log")} what cannot be read`);
  const worst = fleet.engines[0];
  const title = byId("verdict").dataset.state === "silent" ? "No answer" : (about.states[worst?.state] ?? "");
  document.title = worst === undefined ? "kvwatch" : `${title} · kvwatch`;
  const present = fleet.engines.some((engine) => engine.key === looked.key);
  byId("detail").classList.toggle("gone", looked.summary !== null && !present);
}

function showLive(is) {
  const node = byId("live");
  node.dataset.live = is ? "yes" : "no";
  node.textContent = is ? `live · ${clock(fleet.at)}` : `no connection since ${clock(heard / 1000)}`;
}

function showTargets(id, { count, targets }, heading) {
  const node = byId(id);
  node.hidden = count === 0;
  const text = JSON.stringify([count, targets.map(({ target, problem }) => [target, problem])]);
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  const items = targets.map(({ target, problem }) => h("li", {}, h("b", {}, target), ` ${problem ?? "not read yet"}`));
  const more = count > targets.length ? h("li", {}, `and ${count - targets.length} more`) : null;
  node.replaceChildren(h("h2", {}, heading), h("ul", {}, ...items, more));
}

function showFooter() {
  const link = (path, words) => h("a", { href: path }, words);
  byId("footer").replaceChildren(
    h("span", {}, `kvwatch ${about.version}`),
    link("metrics", "metrics"),
    link("api/v1/engines", "JSON"),
    h("details", {}, h("summary", {}, "runbooks"), h("ul", {}, ...about.runbooks.map((name) => h("li", {}, link(`runbooks/${name}.md`, name))))),
  );
}

setInterval(() => {
  if (heard && Date.now() - heard > 1000 * STILL_SECONDS * about.tickSeconds) showLive(false);
}, 1000);
addEventListener("hashchange", () => {
  follow();
  // on a phone the engine is far below the row that was touched
  if (matchMedia("(max-width: 880px)").matches) byId("detail").scrollIntoView();
});
follow();
