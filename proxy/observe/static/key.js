// Asks for the client key, where `clients` is configured, and keeps it for this tab.

import { find } from "./dom.js";

const KEPT_AS = "sidekey-client-key";

let asked = null; // one question, however many requests wait for its answer

// `used` is the key that was refused, if one was; another request may have asked meanwhile.
export function askForKey(used) {
  if (keptKey() !== used) return Promise.resolve();
  asked ??= question(used !== null).finally(() => { asked = null; });
  return asked;
}

export const keptKey = () => sessionStorage.getItem(KEPT_AS);

function question(refused) {
  const dialog = find("key");
  const field = find("key-field");
  find("key-refused").hidden = !refused;
  field.value = "";
  dialog.showModal();
  return new Promise((answered) => {
    dialog.oncancel = (event) => event.preventDefault(); // nothing can be shown without it
    dialog.querySelector("form").onsubmit = () => {
      sessionStorage.setItem(KEPT_AS, field.value);
      field.value = "";
      answered();
    };
  });
}
