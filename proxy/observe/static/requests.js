// The last requests, live: at most 200 rows, drawn once a frame, however many come.

import { announce, element, find } from "./dom.js";
import { isError, passes, startFilter } from "./filter.js";
import { clock, count, duration } from "./words.js";

const MOST = 200;

let recent = []; // the newest of all
let shown = []; // the newest of those that pass the filter
let waiting = []; // come while paused, or since the last frame
let missed = 0; // come while paused
let paused = false;
let frame = 0;
let total = 0;
let leftOut = 0;
let last = 0; // the greatest number of a request that has come
let open; // shows the details of a request, by its id

export function startRequests(openDetail) {
  open = openDetail;
  startFilter(sift);
  find("pause").addEventListener("click", () => pause(!paused));
  find("clear").addEventListener("click", clear);
  find("requests-list").addEventListener("click", clicked);
  find("requests-list").addEventListener("keydown", moved);
}

// `requests` in any order, perhaps again after a lost connection; `skipped` came too, and are not
// among them.
export function addRequests(requests, skipped = 0) {
  const known = new Set([...recent, ...waiting].map(({ id }) => id));
  const news = requests.filter(({ id }) => !known.has(id));
  total += news.length + skipped;
  leftOut += skipped;
  missed += paused ? news.length + skipped : 0;
  last = Math.max(last, ...news.map(({ seq }) => seq));
  waiting = newest([...news, ...waiting]);
  frame ||= requestAnimationFrame(draw);
}

// Another proxy has taken the place of the one that these came from.
export function replaceRequests(requests) {
  [recent, shown, waiting, total, leftOut, missed, last] = [[], [], [], 0, 0, 0, 0];
  find("requests-list").replaceChildren();
  addRequests(requests);
  total = 0;
}

export const lastSeen = () => last;

const newest = (requests) => requests.sort((one, other) => other.seq - one.seq).slice(0, MOST);

function draw() {
  frame = 0;
  if (!paused && waiting.length) {
    const come = waiting.filter(passes);
    recent = newest([...waiting, ...recent]);
    shown = newest([...come, ...shown]);
    waiting = [];
    putIn(come.filter((request) => shown.includes(request)));
  }
  tell();
}

function putIn(requests) {
  const list = find("requests-list");
  list.prepend(...requests.map(rowOf));
  while (list.rows.length > MOST) dropLast(list);
  keepReachable(list);
}

function dropLast(list) {
  const last = list.rows[list.rows.length - 1];
  const focused = last.contains(document.activeElement);
  last.remove();
  if (focused) focusRow(list.rows[list.rows.length - 1]);
}

// The filter has changed: what it hid is still there, and what it kept is not lost.
function sift() {
  const all = new Map([...recent, ...shown].map((request) => [request.id, request]));
  shown = newest([...all.values()].filter(passes));
  find("requests-list").replaceChildren();
  putIn(shown);
  tell();
  announce(`${count(shown.length)} requests shown`);
}

function pause(on) {
  paused = on;
  missed = 0;
  find("pause").setAttribute("aria-pressed", on);
  draw();
}

function clear() {
  [recent, shown, waiting, missed] = [[], [], [], 0];
  find("requests-list").replaceChildren();
  tell();
  announce("Cleared");
}

function tell() {
  const news = missed ? ` (${count(missed)} new)` : "";
  setText(find("pause"), paused ? `Resume${news}` : "Pause");
  const rest = leftOut ? `, ${count(leftOut)} of them too fast to list` : "";
  setText(find("requests-summary"), total ? `${count(total)} since you came${rest}` : "");
  find("requests-empty").hidden = shown.length > 0;
  find("requests-table").hidden = shown.length === 0;
  setText(find("requests-empty"), recent.length
    ? "No request passes the filter." : "No request yet. Copy a curl line of an upstream and try it.");
}

function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function rowOf(request) {
  const { id, time, method, upstream, path, status } = request;
  const title = { type: "button", class: "path", tabindex: "-1", title: path };
  return element("tr", { role: "row", "data-id": id, class: isError(request) ? "failed" : null },
    cell("time", clock(time)),
    cell("method", method),
    cell("upstream", upstream ?? "–"),
    cell("path-cell", element("button", title, path)),
    cell("status", status ?? "–"),
    cell("number total", duration(request.seconds)),
    cell("number token", duration(request.token_seconds)),
    cell("number waited", duration(request.upstream_seconds)),
    cell("marks", ...marksOf(request)));
}

// The roles say again what the elements mean: on a phone, rows are laid out as blocks.
const cell = (name, ...children) => element("td", { class: name, role: "cell" }, ...children);

function marksOf({ outcome, renewed, replayed, rejected, problem }) {
  const marks = [
    outcome === "answered" && "answered",
    renewed && "renewed", replayed && "replayed", rejected && "rejected",
  ];
  const failed = problem ?? (outcome === "aborted" ? outcome : null);
  return [
    ...marks.filter(Boolean).map((mark) => element("span", { class: `mark ${mark}` }, mark)),
    failed && element("span", { class: "mark problem" }, failed),
  ].flatMap((mark) => (mark ? [mark, " "] : []));
}

function clicked({ target }) {
  const row = target.closest("tr");
  if (row && !String(getSelection())) openRow(row);
}

function openRow(row) {
  const button = row.querySelector("button");
  makeReachable(button);
  open(row.dataset.id);
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -MOST, End: MOST };

function moved(event) {
  const step = STEPS[event.key];
  const { rows } = find("requests-list");
  if (!step || !event.target.matches(".path")) return;
  event.preventDefault();
  const at = [...rows].indexOf(event.target.closest("tr")) + step;
  focusRow(rows[Math.min(Math.max(at, 0), rows.length - 1)]);
}

function focusRow(row) {
  const button = row.querySelector("button");
  makeReachable(button);
  button.focus();
}

// One Tab leads into the list and one out of it; inside, the arrow keys move.
function makeReachable(button) {
  find("requests-list").querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  button.setAttribute("tabindex", "0");
}

function keepReachable(list) {
  const first = list.querySelector("button");
  if (first && !list.contains(document.activeElement)) makeReachable(first);
}

// Marks the row whose details are shown, and returns where the focus goes when they are closed.
export function markOpen(id) {
  const rows = [...find("requests-list").rows];
  for (const row of rows) row.toggleAttribute("data-open", row.dataset.id === id);
  return (rows.find((row) => row.dataset.id === id) ?? rows[0])?.querySelector("button");
}
