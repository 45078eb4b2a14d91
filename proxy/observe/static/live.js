// Keeps the stream open while somebody looks, and gets it back when it is lost.

import { Problem, events } from "./api.js";

const SILENCE = 40_000; // a comment comes every 15 seconds; a laptop that slept gets none
const LONGEST_PAUSE = 15_000;

// `load` gets all there is, and returns the path of the stream that goes on from there;
// `hear` gets each event; `tell` is told "live", "hidden", or "lost" with the seconds to wait.
export async function follow({ load, hear, tell }) {
  for (let failures = 0; ; ) {
    if (document.hidden) await shown(tell);
    const stream = new AbortController();
    const hide = () => document.hidden && stream.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      const path = await load();
      failures = 0;
      tell("live");
      await listen(path, stream, hear);
    } catch (error) {
      if (!isExpected(error)) console.error(error);
    } finally {
      document.removeEventListener("visibilitychange", hide);
    }
    if (!document.hidden) await pause(failures++, tell);
  }
}

// The network, the end of a stream, or a refusal: anything else is a mistake of ours.
function isExpected({ name, message, constructor }) {
  return constructor === Problem || name === "AbortError" || /fetch|network|load/i.test(message);
}

async function listen(path, stream, hear) {
  let watch;
  const wait = () => {
    clearTimeout(watch);
    watch = setTimeout(() => stream.abort(), SILENCE);
  };
  wait();
  try {
    for await (const [name, content] of events(path, stream.signal)) {
      wait();
      if (name) hear(name, content);
    }
  } finally {
    clearTimeout(watch);
  }
}

function shown(tell) {
  tell("hidden");
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

// The pause grows, and is as good as random, so that many pages do not come back at once.
function pause(failures, tell) {
  const longest = Math.min(LONGEST_PAUSE, 1000 * 2 ** failures);
  const wait = longest * (0.5 + Math.random() / 2);
  tell("lost", wait / 1000);
  return new Promise((done) => setTimeout(done, wait));
}
