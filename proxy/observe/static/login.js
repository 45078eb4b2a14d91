// The sign-in page: counts down, notices the end, and says who calls where `clients` is configured.
// Where it is not, its forms work by themselves.

import { flaw, keep, kept, refusalOf, shownFields } from "./client.js";

const POLL = 2000; // milliseconds
const PAGES = { Accept: "text/html,application/xhtml+xml" }; // as a browser that opens a page
const HEADER_REFUSED = 412;

const pause = (time) => new Promise((done) => { setTimeout(done, time); });

function send(path, options = {}) {
  const headers = { ...options.headers, ...shownFields() };
  return fetch(path, { cache: "no-store", ...options, headers });
}

function start(main) {
  const { state } = main.dataset;
  for (const hint of main.querySelectorAll(".scriptless")) hint.remove();
  if (state === "stranger") openOnceKnown(main);
  if (state === "waiting") notice(main);
  if (state !== "stranger" && kept()) for (const form of main.querySelectorAll("form")) sendAsKnown(form);
}

// Puts a page of ours in the place of this one; its scripts do not run, and need not.
async function show(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = page.querySelector("main");
  if (main === null) throw new Error(`answered ${answer.status}`);
  document.title = page.title;
  document.querySelector("main").replaceWith(main);
  start(main);
}

const page = () => send(location.pathname, { headers: PAGES });
const lookAgain = async () => (kept() ? show(await page()) : location.reload());

async function notice(main) {
  countDown(main);
  while (main.isConnected) {
    await pause(POLL);
    const answer = await send(`/_sidekey/api/upstreams/${main.dataset.upstream}/login`).catch(() => null);
    const { state } = answer?.ok ? await answer.json() : { state: "waiting" };
    if (main.isConnected && state !== "waiting") await lookAgain();
  }
}

async function countDown(main) {
  const left = main.querySelector("#left");
  while (left?.isConnected) {
    const seconds = Math.max(0, Math.ceil(main.dataset.expires - Date.now() / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    await pause(1000);
  }
}

async function openOnceKnown(main) {
  if (kept() && await isOpened()) return;
  const { header } = main.dataset;
  const refused = main.querySelector("#refused");
  main.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { value } = main.querySelector("#shown");
    const wrong = flaw(header, value);
    if (!wrong) keep(header, value);
    if (!wrong && await isOpened()) return;
    refused.textContent = wrong ?? refusalOf(header);
    refused.hidden = false;
  });
}

// Shows the page that was asked for, if the proxy lets this one see it.
async function isOpened() {
  const answer = await page();
  const isKnown = answer.status !== HEADER_REFUSED
    && !(await answer.clone().text()).includes('data-state="stranger"');
  if (isKnown) await show(answer);
  return isKnown;
}

function sendAsKnown(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { begins } = form.dataset;
    if (begins === undefined) await show(await post(form.action, new URLSearchParams(new FormData(form)), PAGES));
    else await begin(begins, form);
  });
}

const post = (path, body, headers) => send(path, { method: "POST", body, headers });

// A fetch cannot be led to another server's page: the address comes as JSON.
async function begin(upstream, form) {
  const headers = { Accept: "application/json", "Sidekey-Token": form.elements.token.value };
  const answer = await post(`/_sidekey/api/upstreams/${upstream}/login`, "", headers);
  const { url } = answer.ok ? await answer.json() : {};
  if (url === undefined) await lookAgain();
  else location.assign(url);
}

// A page that the browser kept while it was elsewhere is not up to date.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

start(document.querySelector("main"));
