// What would become of a request, for people: the outcome first, then how it came to that.

import { element } from "./dom.js";
import { errorBlock } from "./errors.js";
import { fieldsTable } from "./fields.js";
import { sentence } from "./words.js";

const SECTIONS = [
  ["refusal", null, ({ detail, fix, slug }) => errorBlock(detail, fix, slug)],
  ["answer", "Answer of sidekey's own", members],
  ["conditions", "If", texts],
  ["verdicts", "Checks", verdicts],
  ["request", "What would be sent", sent],
  ["injections", "Credential", injections],
  ["removed", "Taken away", (removed) => texts(removed.map(({ name, why }) => `${name}: ${why}`))],
  ["token", "Token", members],
  ["rejection", "If the upstream rejects the token", (text) => element("p", {}, text)],
];
const HEAD = ["outcome", "method", "asked", "local", "upstream", "found_by", "path"];

export function explanationOf(told) {
  const known = new Set([...HEAD, ...SECTIONS.map(([name]) => name)]);
  const further = Object.entries(told).filter(([name]) => !known.has(name));
  return element("div", { class: "explanation" }, headOf(told),
    SECTIONS.map(([name, title, draw]) => !isEmpty(told[name]) && part(title, draw(told[name]))),
    further.map(([name, value]) => part(sentence(name), shape(value))));
}

const isEmpty = (value) => value === undefined || value === null || value.length === 0;
const part = (title, content) => [title && element("h3", {}, title), content];

function headOf({ outcome, method, asked, local, upstream, found_by: by, path, refusal, answer }) {
  const words = {
    sent: `It would be sent to ${upstream}.`,
    answered: `sidekey would answer it itself${answer?.status ? ` with ${answer.status}` : ""}.`,
    refused: `It would be refused${refusal ? ` with ${refusal.status}: ${refusal.title}` : ""}.`,
  }[outcome] ?? outcome;
  const found = upstream && by ? `${upstream}, by ${by}` : upstream;
  const facts = { asked: `${method} ${asked}`, local_url: local, upstream: found, path };
  return [element("p", { class: `outcome ${outcome}` }, words), members(facts)];
}

function verdicts(checks) {
  return element("ul", { class: "verdicts" }, checks.map(({ check, passed, why, rule }) =>
    element("li", { class: passed ? "passed" : "stopped" },
      element("span", { class: "visually-hidden" }, passed ? "Passed: " : "Stopped: "),
      element("b", {}, sentence(check)), ` ${why}`, rule && element("code", { class: "rule" }, rule))));
}

function injections(rules) {
  return element("ul", { class: "verdicts" }, rules.map(({ rule, sets, applies, why, ...more }) =>
    element("li", { class: applies ? "passed" : "skipped" },
      applies ? "Sets " : "Does not set ", element("code", {}, sets), why && `: ${why}`,
      more.removes_own && ", in place of the client's own", element("code", { class: "rule" }, rule))));
}

function sent({ method, url, fields, content }) {
  return [
    element("p", { class: "target" }, element("code", {}, `${method} ${url}`)),
    fieldsTable("Fields of the request that would be sent", fields),
    content && element("p", { class: "faint" }, `Content: ${content}`),
  ];
}

function texts(lines) {
  return element("ul", { class: "story" }, lines.map((line) => element("li", {}, line)));
}

// Anything else: members become a list of names and values, lists become lists.
function shape(value) {
  if (Array.isArray(value)) {
    return element("ul", {}, value.map((item) => element("li", {}, shape(item))));
  }
  if (value !== null && typeof value === "object") return members(value);
  return element("span", { class: "value" }, { true: "yes", false: "no" }[value] ?? String(value));
}

function members(value) {
  if (typeof value !== "object") return shape(value);
  const known = Object.entries(value).filter(([, member]) => !isEmpty(member));
  return element("dl", { class: "members" }, known.map(([name, member]) =>
    element("div", {}, element("dt", {}, sentence(name)), element("dd", {}, shape(member)))));
}
