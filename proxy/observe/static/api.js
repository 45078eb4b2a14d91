// Talks to the running proxy: its JSON, its stream, its problems. It says who calls, if asked.

import { kept, shownFields } from "./client.js";
import { askWho } from "./question.js";

const API = "/_sidekey/api/";
const ASKS_WHO = new Set([401, 412]);

let token = ""; // shows that a change was asked for by this page

export const setToken = (text) => { token = text; };

export class Problem extends Error {
  constructor(status, members) {
    super(members.detail || members.title || `answered ${status}`);
    this.status = status;
    this.fix = members.fix;
    this.header = members.header; // that is asked for
  }

  get sentence() {
    return this.fix ? `${this.message}. ${this.fix}` : this.message;
  }
}

export const get = (path) => send(path).then((answer) => answer.json());

export function post(path, content = {}) {
  const headers = { "Content-Type": "application/json", "Sidekey-Token": token };
  const sent = send(path, { method: "POST", headers, body: JSON.stringify(content) });
  return sent.then((answer) => answer.json());
}

async function send(path, options = {}) {
  for (;;) {
    const used = kept();
    const headers = { ...options.headers, ...shownFields() };
    const answer = await fetch(API + path, { cache: "no-store", ...options, headers });
    if (answer.ok) return answer;
    const problem = await problemOf(answer); // unread, it would hold the connection
    if (!ASKS_WHO.has(answer.status)) throw problem;
    await askWho(used, problem.header);
  }
}

async function problemOf(answer) {
  return new Problem(answer.status, await answer.json().catch(() => ({})));
}

// Yields [name, content] of each event; [null] for a comment, which says that the proxy is there.
export async function* events(path, signal) {
  const answer = await send(path, { signal });
  let text = "";
  for await (const chunk of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
    const blocks = (text + chunk).split("\n\n");
    text = blocks.pop();
    yield* blocks.map(parsed);
  }
}

// Safari's streams cannot be iterated.
async function* chunks(stream) {
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}

function parsed(block) {
  const lines = block.split("\n");
  const name = lines.find((line) => line.startsWith("event:"));
  const content = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
  return name ? [name.slice(6).trim(), JSON.parse(content.join("\n"))] : [null];
}
