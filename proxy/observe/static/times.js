// The time of one request as a bar: token, upstream, the rest.

import { drawn, element } from "./dom.js";
import { duration } from "./words.js";

const WIDTH = 400;

export function timesOf({ seconds, token_seconds: token, upstream_seconds: upstream }) {
  const parts = [
    ["token", "Waiting for a token", token],
    ["upstream", "Until the upstream answered", upstream],
    ["rest", "Everything else", Math.max(0, seconds - (token ?? 0) - (upstream ?? 0))],
  ];
  const lines = parts.map(([name, words, part]) => element("div", {},
    element("dt", {}, element("span", { class: `swatch ${name}`, "aria-hidden": "true" }), words),
    element("dd", {}, duration(part))));
  const sum = element("div", { class: "sum" },
    element("dt", {}, "In all"), element("dd", {}, duration(seconds)));
  return element("div", { class: "times" }, barOf(parts, seconds), element("dl", {}, lines, sum));
}

function barOf(parts, seconds) {
  let at = 0;
  const bars = parts.map(([name, , part]) => {
    const width = seconds ? ((part ?? 0) / seconds) * WIDTH : 0;
    const bar = drawn("rect", { class: name, x: at, y: 0, width, height: 10 });
    at += width;
    return bar;
  });
  const shape = { class: "bar", viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none" };
  return drawn("svg", { ...shape, "aria-hidden": "true" }, bars);
}
