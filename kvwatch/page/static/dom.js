// Makes elements. Nothing here takes markup: a name from a server is text, whatever is in it.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

// One shape for each kind of state, so that colour is never the only sign.
const SHAPES = {
  idle: ["circle", { cx: 8, cy: 8, r: 4.5, class: "hollow" }],
  warming_up: ["path", { d: "M8 2.500A5.500 5.500 0 0 1 8 13.500", class: "hollow" }],
  fine: ["circle", { cx: 8, cy: 8, r: 5.5 }],
  approaching: ["path", { d: "M8 2.200 14.500 13.500H1.500Z" }],
  standing: ["path", { d: "M2 5h12v2.400H2zM2 9.200h12v2.400H2z" }],
  saturated: ["path", { d: "M2.500 2.500h11v11h-11z", class: "hollow" }],
  overloaded: ["path", { d: "M2 2h12v12H2z" }],
  evicting: ["path", { d: "M8 1.500 14.500 8 8 14.500 1.500 8Z" }],
  draining: ["path", { d: "M8 13.800 1.500 2.500h13Z" }],
  hung: ["path", { d: "M3 3 13 13M13 3 3 13", class: "stroke" }],
  silent: ["path", { d: "M3 3 13 13M13 3 3 13", class: "stroke" }],
  unknown: ["path", { d: "M3 8h10", class: "stroke" }],
};

export function stateIcon(state) {
  const [tag, attributes] = SHAPES[state] ?? SHAPES.unknown;
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg(tag, attributes));
}

// The clipboard needs a secure page; where there is none the text is selected and copied the old way.
async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(node);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
}

export function command(text) {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${text}` }, "Copy");
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    await copy(text, code);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return h("span", { class: "command" }, code, button);
}

// A sentence in which the flag that it names can be copied, and the runbook read.
export function advised(text, flag, runbooks = []) {
  const runbook = runbooks.find((name) => text.includes(name));
  if (runbook) {
    const [before, after] = text.split(runbook);
    return [before, h("a", { href: `runbooks/${runbook}.md` }, runbook), after];
  }
  if (!flag || !text.includes(flag)) return [text, flag ? command(flag) : null].filter(Boolean);
  const [before, after] = text.split(flag);
  return [before, command(flag), after];
}
