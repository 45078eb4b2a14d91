// One request in a panel beside the list: when, how long, what was said, and why.

import { get, post } from "./api.js";
import { ask } from "./ask.js";
import { announce, button, copy, element, find } from "./dom.js";
import { errorBlock } from "./errors.js";
import { explainRequest } from "./explain.js";
import { fieldsTable } from "./fields.js";
import { markOpen } from "./requests.js";
import { timesOf } from "./times.js";
import { clock, day } from "./words.js";

const REPEATABLE = new Set(["GET", "HEAD"]); // RFC 9110 section 9.2.1: safe
const NARROW = matchMedia("(max-width: 45rem)");

let openId = null;

export function startDetail() {
  const panel = find("detail");
  find("detail-close").addEventListener("click", () => panel.close());
  panel.addEventListener("close", closed);
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && panel.open && !document.querySelector("dialog:modal")) panel.close();
  });
}

export async function openDetail(id) {
  openId = id;
  markOpen(id);
  let request;
  try {
    request = await get(`requests/${encodeURIComponent(id)}`);
  } catch (problem) {
    request = { gone: problem.message };
  }
  if (openId !== id) return; // another one was opened meanwhile
  show(request);
  openPanel();
}

// On a phone it covers the page, so nothing behind it can have the focus.
function openPanel() {
  const panel = find("detail");
  if (!panel.open && NARROW.matches) panel.showModal();
  else if (!panel.open) panel.show();
  find("detail-title").focus();
  find("detail-body").scrollTop = 0;
}

function closed() {
  const opener = markOpen(openId);
  openId = null;
  markOpen(null);
  opener?.focus();
}

function show(request) {
  const { gone, method, path } = request;
  find("detail-title").textContent = gone ? "Request" : `${method} ${path}`;
  find("detail-body").replaceChildren(...(gone ? [element("p", {}, gone)] : partsOf(request)));
}

function partsOf(request) {
  return [
    headOf(request),
    buttonsOf(request),
    request.problem && errorBlock(request.detail ?? request.problem, request.fix, request.problem),
    ...section("What happened", request.story?.length && element("ul", { class: "story" },
      request.story.map((sentence) => element("li", {}, sentence)))),
    ...section("Times", timesOf(request)),
    ...messageOf("Request", request.request, request.request?.target),
    ...messageOf("Answer", request.answer),
  ].filter(Boolean);
}

const section = (title, ...content) =>
  (content.some(Boolean) ? [element("h3", {}, title), ...content] : []);

function headOf({ status, outcome, upstream, time, id }) {
  const moment = { datetime: new Date(time * 1000).toISOString() };
  const facts = [
    ["Status", status === null ? outcome : `${status} (${outcome})`],
    ["Upstream", upstream ?? "none"],
    ["When", element("time", moment, `${day(time)}, ${clock(time)}`)],
    ["Request id", element("code", {}, id)],
  ];
  return element("dl", { class: "facts-list" },
    facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

function buttonsOf(request) {
  const { curl, replayable, why_not: whyNot } = request;
  return element("div", { class: "buttons" },
    curl && button("Copy as curl", ({ currentTarget }) => copy(curl, currentTarget)),
    replayable && button("Replay", () => replay(request)),
    request.request && button("Explain", () => explain(request)),
    !replayable && whyNot && element("p", { class: "faint" }, `It cannot be replayed: ${whyNot}.`),
    element("p", { id: "detail-notice", class: "notice", hidden: true }));
}

function messageOf(title, message, target) {
  if (!message) return [];
  const { fields, content, content_note: note } = message;
  const scrolled = { tabindex: "0", role: "region", "aria-label": `Content of the ${title.toLowerCase()}` };
  return section(title,
    target && element("p", { class: "target" }, element("code", {}, target)),
    fieldsTable(`Fields of the ${title.toLowerCase()}`, fields),
    content && element("pre", scrolled, readable(content)),
    note && element("p", { class: "faint" }, `Content: ${note}`));
}

// JSON is easier to read with line breaks; a number too long for JavaScript stays as it came.
function readable(content) {
  try {
    const pretty = JSON.stringify(JSON.parse(content), null, 2);
    return pretty.replace(/\s/g, "") === content.replace(/\s/g, "") ? pretty : content;
  } catch {
    return content;
  }
}

function explain({ method, path, request }) {
  find("detail").close();
  explainRequest(method, request?.target ?? path);
}

async function replay({ id, method, path, outcome }) {
  const text = outcome === "answered"
    ? `${method} ${path} is sent once more. sidekey answered it itself, and does so again `
      + "unless the configuration has changed."
    : `${method} ${path} goes to the upstream once more, with the credential of now. `
      + "What it does there happens twice.";
  if (!REPEATABLE.has(method) && !(await ask(`Repeat this ${method}?`, text, "Repeat"))) return;
  try {
    const { id: repeated, status } = await post(`requests/${encodeURIComponent(id)}/replay`);
    announce(`Replayed: ${status}`);
    // Another worker may have served it: then only the list shows it.
    if (repeated && find("detail").open) await openDetail(repeated);
  } catch (problem) {
    find("detail-notice").textContent = problem.sentence ?? problem.message;
    find("detail-notice").hidden = false;
    announce(problem.message);
  }
}
