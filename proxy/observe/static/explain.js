// Asks what would become of a request, without sending it.

import { get } from "./api.js";
import { find } from "./dom.js";
import { errorBlock } from "./errors.js";
import { explanationOf } from "./explanation.js";

export function startExplain() {
  find("explain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
}

export async function explainRequest(method, url) {
  find("explain-method").value = method;
  find("explain-url").value = url;
  location.hash = "#explain";
  await explain();
  find("explain-title").focus();
}

async function explain() {
  const method = find("explain-method").value;
  const asked = new URLSearchParams({ method, url: find("explain-url").value });
  const place = find("explanation");
  place.setAttribute("aria-busy", "true");
  try {
    place.replaceChildren(explanationOf(await get(`explain?${asked}`)));
  } catch (problem) {
    place.replaceChildren(errorBlock(problem.message, problem.fix));
  } finally {
    place.removeAttribute("aria-busy");
  }
}
