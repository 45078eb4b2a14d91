// How numbers, times and states are said.

const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

let ahead = 0; // of this browser's clock, in seconds

export function setClock(now) {
  ahead = now - Date.now() / 1000;
}

export const now = () => Date.now() / 1000 + ahead;
export const clock = (epoch) => CLOCK.format(epoch * 1000);
export const day = (epoch) => DAY.format(epoch * 1000);
export const count = (number) => number.toLocaleString("en");
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.00995) return `${(seconds * 1000).toFixed(1).replace(".0", "")} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 10 ? `${seconds.toFixed(2)} s` : `${Math.round(seconds)} s`;
}

// The two largest units: 52 m 10 s, 6 d 4 h.
function span(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const parts = [];
  for (const [unit, size] of UNITS.slice(first, first + 2)) {
    parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(" ");
}

// What is left until a moment that an ISO text names.
export function until(iso, ahead_of, behind) {
  const left = Date.parse(iso) / 1000 - now();
  return left > 0 ? `${ahead_of} ${span(left)}` : behind;
}

// A name of JSON as people write it: `local_url` is Local URL.
export function sentence(name) {
  const words = name.replaceAll("_", " ").replace(/\burl\b/, "URL");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
