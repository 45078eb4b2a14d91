// Who this page is to the proxy, where `clients` is configured: one field of each request, kept for
// this tab. `header` is the name of the shared header that is asked for; undefined for a client key.

const KEPT_AS = "sidekey-client";

export const kept = () => sessionStorage.getItem(KEPT_AS); // null until somebody has said it

export const shownFields = () => JSON.parse(kept() ?? "{}");

export function keep(header, value) {
  const field = header ? { [header]: value } : { Authorization: `Bearer ${value}` };
  sessionStorage.setItem(KEPT_AS, JSON.stringify(field));
}

export function refusalOf(header) {
  return `This ${header ? "value" : "key"} is not accepted.`;
}

// Returns why `value` cannot be right, null if it may be.
export function flaw(header, value) {
  // A fetch with a field of other characters fails as if the network did.
  if (!/^[ -~]*$/.test(value)) return `${refusalOf(header)} It has characters that are not ASCII.`;
  if (!header || isSendable(header)) return null;
  return `No page can send ${header}. Give clients.header another name, or add clients.keys.`;
}

// Of some names a browser drops what a page sets (Fetch standard, forbidden request-headers).
function isSendable(header) {
  return new Request("", { headers: { [header]: "x" } }).headers.has(header);
}
