// Asks before something is done that cannot be undone.

import { find } from "./dom.js";

// Resolves to true if the person says yes.
export function ask(title, text, yes) {
  const dialog = find("ask");
  find("ask-title").textContent = title;
  find("ask-text").textContent = text;
  find("ask-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answered) => {
    dialog.onclose = () => answered(dialog.returnValue === "yes");
  });
}
