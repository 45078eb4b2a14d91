// Which requests are shown: words, errors only, and upstreams.

import { element, find } from "./dom.js";

const chosen = new Set(); // names of upstreams; none means all

let words = [];
let errorsOnly = false;

const ANSWERED = new Set(["forwarded", "answered"]); // by the upstream, or by sidekey in its place

export const isError = ({ outcome, status }) => !ANSWERED.has(outcome) || status >= 400;

export function passes(request) {
  if (errorsOnly && !isError(request)) return false;
  if (chosen.size && !chosen.has(request.upstream)) return false;
  return words.every((word) => textOf(request).includes(word));
}

const textOf = ({ method, upstream, path, status, problem, id }) =>
  [method, upstream, path, status, problem, id].join(" ").toLowerCase();

export function startFilter(changed) {
  find("filter-text").addEventListener("input", ({ target }) => {
    words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
    changed();
  });
  find("filter-errors").addEventListener("click", ({ currentTarget }) => {
    errorsOnly = press(currentTarget);
    changed();
  });
  find("filter-upstreams").addEventListener("click", ({ target }) => {
    const chip = target.closest("button");
    if (!chip) return;
    if (press(chip)) chosen.add(chip.value);
    else chosen.delete(chip.value);
    changed();
  });
}

function press(chip) {
  const pressed = chip.getAttribute("aria-pressed") !== "true";
  chip.setAttribute("aria-pressed", pressed);
  return pressed;
}

export function showChips(names) {
  const place = find("filter-upstreams");
  const before = [...place.children].map(({ value }) => value);
  if (before.join() === names.join()) return;
  place.replaceChildren(...names.map(chipOf));
}

const chipOf = (name) => element("button",
  { type: "button", class: "chip", value: name, "aria-pressed": String(chosen.has(name)) }, name);
