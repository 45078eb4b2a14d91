// The fields of a message as a table.

import { element } from "./dom.js";

export function fieldsTable(caption, fields) {
  if (!fields?.length) return null;
  return element("table", { class: "fields" },
    element("caption", { class: "visually-hidden" }, caption),
    element("tbody", {}, fields.map(([name, value]) =>
      element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)))));
}
