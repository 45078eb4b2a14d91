// Builds what the page shows. No text is ever parsed as HTML: paths and errors come from strangers.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

// Attributes that are null or false are left out; functions are called at the event of that name.
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (isThere(value)) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(isThere));
  return made;
}

export function button(label, act, attributes = {}) {
  return element("button", { type: "button", class: "button", ...attributes, click: act }, label);
}

const isThere = (value) => value !== null && value !== undefined && value !== false;

// Tells screen readers what has changed; what comes in masses is not said.
export function announce(text) {
  find("announcements").textContent = text;
}

// The clipboard of a page that was not called as localhost is closed to `navigator.clipboard`.
export async function copy(text, button) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyBySelection(text, button);
  const before = button.textContent;
  if (before === "Copied") return;
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = before; }, 1500);
}

function copyBySelection(text, button) {
  const field = element("textarea", { class: "visually-hidden" });
  field.value = text;
  button.after(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  button.focus();
}
