// Lines, areas and columns as SVG, from values that are null where nothing is known.

import { drawn } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 72;
const TOP = 6; // room for the stroke of the highest point

export const viewBox = `0 0 ${WIDTH} ${HEIGHT}`;

const x = (at, length) => ((at + 0.5) / length) * WIDTH;
const y = (value, highest) => HEIGHT - (value / highest) * (HEIGHT - TOP);

export function gridOf() {
  return [0.5, 1].map((part) => drawn("line",
    { class: "grid", x1: 0, x2: WIDTH, y1: y(part, 1), y2: y(part, 1) }));
}

export function lineOf([name, values], highest, area) {
  const spot = ([at, value]) => `${x(at, values.length).toFixed(1)},${y(value, highest).toFixed(1)}`;
  const pieces = unbroken(values);
  const path = pieces.map((piece) => `M${piece.map(spot).join("L")}${piece.length === 1 ? "h.1" : ""}`);
  const line = drawn("path", { class: `line ${name}`, d: path.join("") });
  if (!area) return [line];
  const ground = pieces.map((piece) => {
    const [from, to] = [piece[0], piece.at(-1)].map(([at]) => x(at, values.length));
    return `M${from},${HEIGHT}L${piece.map(spot).join("L")}L${to},${HEIGHT}Z`;
  });
  return [drawn("path", { class: `area ${name}`, d: ground.join("") }), line];
}

// The pieces of a curve between what is unknown.
function unbroken(values) {
  const pieces = [[]];
  values.forEach((value, at) => {
    if (value === null) pieces.push([]);
    else pieces.at(-1).push([at, value]);
  });
  return pieces.filter((piece) => piece.length);
}

export function barsOf([name, values], highest, index, series) {
  const width = Math.max(1.5, (WIDTH / values.length) * 0.8 / series);
  const column = (value, at) => {
    const left = x(at, values.length) + (index - series / 2) * width;
    return `M${left.toFixed(1)},${HEIGHT}V${y(value, highest).toFixed(1)}h${width.toFixed(1)}V${HEIGHT}z`;
  };
  const path = values.map((value, at) => (value ? column(value, at) : ""));
  return [drawn("path", { class: `bars ${name}`, d: path.join("") })];
}

export function crosshairOf(at, length) {
  const place = x(at, length);
  return drawn("line", { class: "crosshair", x1: place, x2: place, y1: 0, y2: HEIGHT });
}
