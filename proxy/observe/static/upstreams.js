// The upstreams: how each token is, and what can be done about it.

import { post } from "./api.js";
import { ask } from "./ask.js";
import { announce, button, copy, drawn, element, find } from "./dom.js";
import { errorBlock } from "./errors.js";
import { counted, until } from "./words.js";

const RESTING = ["blocked", "failed"]; // states in which the token endpoint is left alone for a while
const RENEWAL = ["renews in", "renews when used"];
const AGAIN = ["tried again in", "tried again when used"];

// Each state has words, a shape and a colour, so that nobody depends on the colour.
const STATES = {
  ready: ["Ready", "disc", "good"],
  renewing: ["Ready, renewing now", "half", "good"],
  acquiring: ["Getting a token", "half", "calm"],
  idle: ["Idle until the first request", "ring", "calm"],
  expired: ["Expired, renewed at the next request", "ring", "calm"],
  "login-required": ["Login required", "diamond", "warn"],
  blocked: ["Blocked: the credential was refused", "cross", "bad"],
  failed: ["Failed: no token to be had", "triangle", "bad"],
};
const SHAPES = {
  disc: "M8 2a6 6 0 1 1 0 12A6 6 0 1 1 8 2z",
  half: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13zm0 2a4.5 4.5 0 0 0 0 9z",
  ring: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13zm0 2a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
  diamond: "M8 .5L15.5 8L8 15.5L.5 8z",
  cross: "M2 2h12v12H2zm3 1.6L3.6 5L6.6 8L3.6 11L5 12.4L8 9.4L11 12.4L12.4 11L9.4 8L12.4 5L11 3.6L8 6.6z",
  triangle: "M8 1L15.5 14.5H.5zm-1 5v4h2V6zm0 5v2h2v-2z",
};

const cards = new Map(); // by name: {text, card} as last shown
const notices = new Map(); // by name: what became of a button
const busy = new Set(); // names whose button is at work

let latest = [];

export function showUpstreams(upstreams) {
  latest = upstreams;
  const names = new Set(upstreams.map(({ upstream }) => upstream));
  for (const name of [...cards.keys()].filter((name) => !names.has(name))) forgetCard(name);
  upstreams.forEach(show);
  tick();
  tell(upstreams);
}

// Once a second; the texts change, the cards do not.
export function tick() {
  for (const { upstream, state, expires_at: end, next_renewal: renewal } of latest) {
    const { card } = cards.get(upstream);
    say(card, ".expiry", end && until(end, "expires in", "expired"));
    say(card, ".renewal", renewal && until(renewal, ...(RESTING.includes(state) ? AGAIN : RENEWAL)));
  }
}

function say(card, selector, text) {
  const place = card.querySelector(selector);
  if (place && place.textContent !== text) place.textContent = text;
}

function tell(upstreams) {
  const waiting = upstreams.filter(({ state }) => ["warn", "bad"].includes(STATES[state]?.[2]));
  const good = counted(upstreams.length - waiting.length, "upstream");
  find("upstreams-summary").textContent = waiting.length
    ? `${waiting.length} of ${upstreams.length} need you`
    : `${good}, all well`;
}

function forgetCard(name) {
  cards.get(name).card.remove();
  cards.delete(name);
}

// Draws a card anew only if something in it has changed, and keeps the focus in it.
function show(upstream) {
  const name = upstream.upstream;
  const text = JSON.stringify([upstream, notices.get(name), busy.has(name)]);
  const before = cards.get(name);
  if (before?.text === text) return;
  const card = cardOf(upstream);
  const { activeElement: active } = document;
  const focused = before?.card.contains(active) && active.dataset.action;
  if (before) before.card.replaceWith(card);
  else find("upstreams-list").append(card);
  cards.set(name, { text, card, state: upstream.state });
  if (focused) card.querySelector(`[data-action="${focused}"]`)?.focus();
  if (before && before.state !== upstream.state) announce(`${name}: ${wordsOf(upstream)[0]}`);
}

const wordsOf = ({ state }) => STATES[state] ?? [state, "ring", "calm"];

function cardOf(upstream) {
  const [words, shape, mood] = wordsOf(upstream);
  const { upstream: name, url, base_url: base } = upstream;
  return element("li", { class: `card ${mood}`, "data-upstream": name },
    element("div", { class: "card-head" },
      element("h3", {}, name),
      element("p", { class: `state ${mood}` }, shapeOf(shape), words)),
    element("p", { class: "route" },
      element("span", { class: "visually-hidden" }, "Local URL "), element("code", {}, url),
      element("span", { class: "arrow", role: "img", "aria-label": "leads to" }, "→"),
      element("code", { class: "faint" }, base)),
    element("p", { class: "facts" }, factsOf(upstream, mood)),
    upstream.error && errorBlock(upstream.error, upstream.fix, upstream.problem),
    notices.has(name) && element("p", { class: "notice" }, notices.get(name)),
    element("div", { class: "buttons" }, buttonsOf(upstream)));
}

// `tick` fills in what depends on the time.
function factsOf({ preset, provider, user, stored, ...more }, mood) {
  const left = mood === "bad" ? more.attempts_left : undefined;
  return [
    element("span", {}, preset ?? provider),
    user && element("span", {}, user.startsWith("@") ? user : `@${user}`),
    more.expires_at && element("span", { class: "expiry" }),
    more.next_renewal && element("span", { class: "renewal" }),
    left !== undefined && element("span", {}, `${counted(left, "attempt")} left`),
    stored === false && element("span", {}, "in memory only"),
  ];
}

function shapeOf(shape) {
  const path = drawn("path", { d: SHAPES[shape], "fill-rule": "evenodd" });
  return drawn("svg", { viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true" }, path);
}

function buttonsOf(upstream) {
  const { upstream: name, interactive, renewable, kept, generation, curl } = upstream;
  return [
    interactive && loginLink(upstream),
    renewable && action(name, "renew", "Renew", () => change(name, "renew", "Renewed")),
    kept && generation && action(name, "forget", "Forget", () => forget(upstream)),
    action(name, "copy", "Copy curl", ({ currentTarget }) => copy(curl, currentTarget)),
  ];
}

function loginLink({ upstream: name, state }) {
  const attributes = {
    class: state === "login-required" ? "button primary" : "button",
    href: `/_sidekey/login/${encodeURIComponent(name)}`,
    "data-action": "login",
    "aria-label": `Log in to ${name}`,
  };
  return element("a", attributes, "Log in");
}

function action(name, verb, label, act) {
  const working = verb !== "copy" && busy.has(name);
  const attributes = { "data-action": verb, "aria-label": `${label}: ${name}` };
  return button(label, (event) => working || act(event), { ...attributes, "aria-disabled": working && "true" });
}

async function forget(upstream) {
  const { upstream: name, interactive } = upstream;
  const next = interactive
    ? "Requests fail until somebody signs in again." : "The next request gets a new one.";
  if (await ask(`Forget the token of ${name}?`, `It is deleted, here and in the store. ${next}`, "Forget")) {
    await change(name, "forget", "Forgotten");
  }
}

async function change(name, verb, done) {
  busy.add(name);
  notices.delete(name);
  redraw();
  try {
    replace(await post(`upstreams/${encodeURIComponent(name)}/${verb}`));
    announce(`${name}: ${done}`);
  } catch (problem) {
    notices.set(name, problem.sentence ?? problem.message);
    announce(`${name}: ${notices.get(name)}`);
  } finally {
    busy.delete(name);
    redraw();
  }
}

function replace(member) {
  latest = latest.map((before) => (before.upstream === member.upstream ? member : before));
}

const redraw = () => showUpstreams(latest);
