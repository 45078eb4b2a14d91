// Whether contents are recorded: off, until somebody who was warned switches it on.

import { post } from "./api.js";
import { ask } from "./ask.js";
import { announce, find } from "./dom.js";

const WARNING = "From now on the first part of what requests and answers hold is kept in the "
  + "memory of the proxy, and shown to everybody who may open this page. Secrets that sidekey knows "
  + "are masked; what else is private in them is not. Switch it off when you are done.";

export function startRecording() {
  find("recording").addEventListener("click", async () => {
    const on = find("recording").getAttribute("aria-checked") !== "true";
    if (on && !(await ask("Record contents?", WARNING, "Record"))) return;
    try {
      showRecording((await post("recording", { content: on })).records_content);
    } catch (problem) {
      announce(problem.message);
    }
  });
}

export function showRecording(on) {
  find("recording").setAttribute("aria-checked", on);
}
