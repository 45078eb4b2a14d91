// Charts of the last minutes: rate, errors, latency, tokens. SVG, and a sentence for each.

import { barsOf, crosshairOf, gridOf, lineOf, viewBox } from "./curves.js";
import { drawn, element, find } from "./dom.js";
import { clock, count, duration, now } from "./words.js";

const HOUR = 3600;

function rate(value) {
  if (value === null) return "–";
  return value < 10 ? value.toFixed(1).replace(/\.0$/, "") : count(Math.round(value));
}

// `lines` are drawn as curves with gaps where nothing is known, `bars` as columns from zero.
const CHARTS = [
  { id: "rate", title: "Requests a second", area: true, say: rate, least: 0.5,
    lines: [["requests", (point) => (isOver(point) ? point.requests / step : null)]] },
  { id: "errors", title: "Errors", say: count, least: 4, bars: [["errors", (point) => point.errors]] },
  { id: "latency", title: "Latency", say: duration, least: 0.001,
    lines: [["p50", (point) => point.p50], ["p95", (point) => point.p95], ["p99", (point) => point.p99]] },
  { id: "tokens", title: "Tokens", say: count, least: 4,
    bars: [["renewals", (point) => point.renewals], ["failures", (point) => point.failures]] },
];

// The step under way says nothing of a rate yet.
const isOver = ({ time }) => time + step <= now();

const points = new Map(); // by time

let step = 10;
let range = 300; // seconds
let looked = null; // how many steps back somebody looks
let frame = 0;

export function startCharts() {
  find("charts").append(...CHARTS.map(frameOf));
  for (const choice of document.querySelectorAll('input[name="range"]')) {
    choice.addEventListener("change", () => { range = Number(choice.value); redraw(); });
  }
  find("charts").addEventListener("pointermove", pointed);
  find("charts").addEventListener("pointerleave", () => look(null));
  const back = find("look-back");
  back.addEventListener("input", () => look(steps() - 1 - back.value));
  back.addEventListener("blur", () => look(null));
  back.addEventListener("focus", () => look(steps() - 1 - back.value));
}

export function replaceSeries(series) {
  points.clear();
  step = series.step;
  addPoints(series.points);
}

export function addPoints(come) {
  for (const point of come) points.set(point.time, point);
  for (const time of points.keys()) if (time < now() - HOUR - step) points.delete(time);
  redraw();
}

// A quiet proxy sends no points, and time goes on.
export function redraw() {
  frame ||= requestAnimationFrame(() => { frame = 0; draw(); });
}

const frameOf = ({ id, title }) => element("figure", { class: "chart", id: `chart-${id}` },
  element("figcaption", {},
    element("span", { class: "chart-title" }, title), element("span", { class: "readout" })),
  drawn("svg", { viewBox, preserveAspectRatio: "none", role: "img" }),
  element("p", { class: "scale", "aria-hidden": "true" }));

const steps = () => Math.round(range / step);
const EMPTY = { requests: 0, errors: 0, p50: null, p95: null, p99: null, renewals: 0, failures: 0 };

// One point for each step of the range, oldest first.
function windowOf() {
  const end = Math.floor(now() / step) * step;
  return Array.from({ length: steps() }, (_, at) => {
    const time = end - (steps() - 1 - at) * step;
    return points.get(time) ?? { ...EMPTY, time };
  });
}

function draw() {
  const window = windowOf();
  const at = looked === null ? null : Math.max(0, window.length - 1 - looked);
  const read = CHARTS.map((chart) => drawChart(chart, window, at));
  const back = find("look-back");
  back.max = window.length - 1;
  if (at === null) back.value = back.max;
  const time = at === null ? "now" : clock(window[at].time);
  back.setAttribute("aria-valuetext", `${time}: ${read.join("; ")}`);
}

// Draws the window, and returns what is read off at step `at`, or in all if that is null.
function drawChart(chart, window, at) {
  const place = find(`chart-${chart.id}`);
  const curves = (chart.lines ?? chart.bars).map(([name, value]) => [name, window.map(value)]);
  const known = curves.flatMap(([, values]) => values).filter((value) => value !== null);
  const highest = Math.max(chart.least, ...known);
  const shapes = curves.flatMap((curve, index) => (chart.lines
    ? lineOf(curve, highest, chart.area) : barsOf(curve, highest, index, curves.length)));
  const read = curves.map(([name, values]) => [name, chart.say(readOff(chart, values, at))]);
  const text = read.map((pair) => pair.join(" ")).join(", ");
  const svg = place.querySelector("svg");
  svg.replaceChildren(...gridOf(), ...shapes, ...(at === null ? [] : [crosshairOf(at, window.length)]));
  svg.setAttribute("aria-label", `${chart.title}, last ${range / 60} minutes: ${text}, `
    + `at most ${chart.say(known.length ? Math.max(...known) : null)} at once`);
  place.querySelector(".readout").replaceChildren(...read.map((pair) => keyOf(pair, read.length > 1)));
  place.querySelector(".scale").textContent = `up to ${chart.say(highest)}`
    + (at === null ? "" : `, ${clock(window[at].time)}`);
  return `${chart.title}: ${text}`;
}

// Without a place to look at: the sum of what is counted, the latest of what is measured.
function readOff({ bars }, values, at) {
  if (at !== null) return values[at];
  if (bars) return values.reduce((sum, value) => sum + value, 0);
  return values.findLast((value) => value !== null) ?? null;
}

const keyOf = ([name, text], several) => element("span", { class: "key" },
  several && element("span", { class: `swatch ${name}`, "aria-hidden": "true" }),
  several && `${name} `, element("b", {}, text));

function pointed({ target, clientX }) {
  const svg = target.closest("svg");
  if (!svg) return;
  const { left, width } = svg.getBoundingClientRect();
  const at = Math.floor(((clientX - left) / width) * steps());
  look(steps() - 1 - Math.min(Math.max(at, 0), steps() - 1));
}

function look(back) {
  if (looked === back) return;
  looked = back;
  redraw();
}
