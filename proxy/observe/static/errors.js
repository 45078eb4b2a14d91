// An error, what to do about it, and the page that tells more.

import { element } from "./dom.js";

export function errorBlock(text, fix, slug) {
  const page = slug && `/_sidekey/problems/${encodeURIComponent(slug)}`;
  const kind = fix?.startsWith("sidekey ") ? "code" : "span"; // a command, or a sentence
  return element("div", { class: "error" },
    element("p", {}, element("span", { class: "visually-hidden" }, "Error: "), text),
    fix && element("p", {}, "What to do: ", element(kind, {}, fix)),
    page && element("p", {}, element("a", { href: page }, `About ${slug}`)));
}
