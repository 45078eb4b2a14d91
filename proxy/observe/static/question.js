// Asks who is calling: for a client key, or for the value of the shared header.

import { flaw, keep, kept, refusalOf } from "./client.js";
import { find } from "./dom.js";

let asked = null; // one question, however many requests wait for its answer

// `used` is what was refused, if anything was; another request may have asked meanwhile.
export function askWho(used, header) {
  if (kept() !== used) return Promise.resolve();
  asked ??= question(header, used === null ? null : refusalOf(header)).finally(() => { asked = null; });
  return asked;
}

function question(header, refusal) {
  const dialog = find("client");
  const field = find("client-field");
  find("client-label").textContent = header ? `Value of ${header}` : "Client key";
  say(refusal);
  field.value = "";
  dialog.showModal();
  return new Promise((answered) => {
    dialog.oncancel = (event) => event.preventDefault(); // nothing can be shown without it
    dialog.querySelector("form").onsubmit = (event) => {
      const wrong = flaw(header, field.value);
      say(wrong);
      if (wrong) {
        event.preventDefault();
        return;
      }
      keep(header, field.value);
      field.value = "";
      answered();
    };
  });
}

function say(refusal) {
  const said = find("client-refused");
  said.hidden = refusal === null;
  said.textContent = refusal ?? "";
}
