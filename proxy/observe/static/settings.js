// The configuration as it is in force, and where each value came from.

import { get } from "./api.js";
import { element, find } from "./dom.js";
import { errorBlock } from "./errors.js";
import { counted } from "./words.js";

let settings = [];

export function startSettings() {
  find("settings-filter").addEventListener("input", show);
  find("settings-defaults").addEventListener("change", show);
}

// A proxy that was started without a file, such as the demo, has nothing to show here.
export async function loadSettings() {
  const problems = find("settings-problem");
  try {
    const { path, settings: told } = await get("config");
    settings = told;
    find("settings-file").textContent = path;
    problems.replaceChildren();
  } catch (problem) {
    settings = [];
    problems.replaceChildren(errorBlock(problem.message, problem.fix));
  }
  show();
}

function show() {
  const words = find("settings-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const withDefaults = find("settings-defaults").checked;
  const passing = settings.filter((setting) => {
    const text = `${setting.path} ${valueOf(setting)} ${originOf(setting)}`.toLowerCase();
    return (withDefaults || setting.origin.kind !== "default") && words.every((word) => text.includes(word));
  });
  find("settings-count").textContent = `${passing.length} of ${counted(settings.length, "value")}`;
  find("settings-table").hidden = !passing.length;
  find("settings-list").replaceChildren(...passing.map(rowOf));
}

const rowOf = (setting) => element("tr", { role: "row" },
  element("th", { scope: "row", role: "rowheader" }, element("code", {}, setting.path)),
  element("td", { role: "cell" }, element("code", {}, valueOf(setting))),
  element("td", { role: "cell", class: `origin ${setting.origin.kind}` }, originOf(setting)));

const valueOf = ({ value }) => (typeof value === "string" ? value : JSON.stringify(value));

function originOf({ origin }) {
  const { kind, line, column, reference, preset, inputs } = origin;
  const place = line && `line ${line}, column ${column}`;
  const given = inputs && `with ${inputs.join(" and ")}`;
  const from = reference && `from ${reference}`;
  const words = {
    preset: `preset ${preset}`,
    option: `option ${origin.option}`,
    environment: origin.variable,
    default: "default",
  };
  return [words[kind], given, place, from].filter(Boolean).join(", ");
}
