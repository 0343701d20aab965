// Where somebody's hands are, there they stay: what comes later takes neither the focus nor what is typed.
"use strict";

const PAUSE_MS = 700; // who stops for so long has finished typing

const isTyping = (target) => Boolean(target.closest?.("input, textarea, select, [contenteditable]"));

// Keys

let typedAt = -Infinity;

window.addEventListener(
  "keydown",
  (event) => {
    if (["Escape", "Enter", "Tab"].includes(event.key)) typedAt = -Infinity;
    else if (event.key?.length === 1 && (isTyping(event.target) || isGoingOn(event))) typedAt = event.timeStamp;
  },
  { capture: true },
);
window.addEventListener("pointerdown", () => (typedAt = -Infinity), { capture: true });

const isGoingOn = (event) => event.timeStamp - typedAt < PAUSE_MS;

/** Whether a key may do something: not while somebody types, be it that the field was taken from them. */
function isShortcut(event) {
  if (isTyping(event.target) || isGoingOn(event)) return false;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return false;
  return stored("keys", "on") === "on";
}

// The focus

const focusable = (root) => [...root.querySelectorAll("a[href], button, input, select, textarea, summary")];

/** Do something that may take the focused element away; its successor gets the focus. */
function keepingFocus(root, find, exchange) {
  const focused = document.activeElement;
  const place = root.contains(focused) ? find(focused) : null;
  exchange();
  if (place && !document.contains(focused)) place()?.focus({ preventScroll: true });
}

/** Exchange one part for another that is built alike. */
function exchangeAlike(old, now) {
  const find = (focused) => {
    const at = focusable(old).indexOf(focused);
    return () => (focused.id ? document.getElementById(focused.id) : focusable(now)[at]);
  };
  keepingFocus(old, find, () => old.replaceWith(now));
}

/** Later tells whether the focus may be moved: not out of a field that somebody has gone to since. */
function focusFrom() {
  const from = document.activeElement;
  return () => document.activeElement === from || !isTyping(document.activeElement);
}

// What is typed

const fieldsOf = (part) => part.querySelectorAll("input:not([type=hidden]), textarea, select");
const isBox = (field) => field.type === "checkbox" || field.type === "radio";
const nameOf = (each) => each.id || (isBox(each) ? `${each.name}=${each.value}` : each.name || each.href);
const stateOf = (field) => (isBox(field) ? field.checked : field.value);

/** Whether a field says something else than what came with the page. */
function isChanged(field) {
  if (isBox(field)) return field.checked !== field.defaultChecked;
  if (field.tagName === "SELECT") {
    return [...field.options].some((each) => each.selected !== each.defaultSelected);
  }
  return "defaultValue" in field && field.value !== field.defaultValue;
}

const has = (field, value) => field.tagName !== "SELECT" || [...field.options].some((each) => each.value === value);

const tops = new WeakMap(); // how far fields were scrolled: once they are off the page, they say 0

/** What fields held, put into those of the part that came instead. */
function putBack(typed, part) {
  const fields = new Map([...fieldsOf(part)].map((each) => [nameOf(each), each]));
  for (const old of typed) {
    const field = fields.get(nameOf(old));
    if (!field || !has(field, old.value)) continue;
    if (isBox(field)) field.checked = old.checked;
    else field.value = old.value;
    if (field === document.activeElement && old.selectionStart != null) {
      field.setSelectionRange(old.selectionStart, old.selectionEnd);
    }
    field.scrollTop = tops.get(old) ?? 0;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
}

// What htmx exchanges: who goes on while the answer is on its way knows more than the part that comes.

const asked = new WeakMap(); // by request

document.addEventListener("htmx:beforeRequest", ({ detail: { xhr, target } }) => {
  const states = new Map([...fieldsOf(target)].map((each) => [nameOf(each), stateOf(each)]));
  asked.set(xhr, { from: document.activeElement, states });
});

document.addEventListener("htmx:beforeSwap", ({ detail: { xhr, target } }) => {
  for (const each of target.querySelectorAll("[hx-get]")) htmx.trigger(each, "htmx:abort"); // it looked earlier
  const before = asked.get(xhr);
  const { from, states } = before;
  const typed = [...fieldsOf(target)].filter((each) => stateOf(each) !== states.get(nameOf(each)));
  for (const each of typed) tops.set(each, each.scrollTop);
  const active = document.activeElement;
  const focused = active === document.body ? from : active; // a button that is disabled has no focus
  const hasMovedOn = focused !== from || typed.includes(focused);
  Object.assign(before, { typed, hasMovedOn, place: target.contains(focused) ? nameOf(focused) : null });
});

document.addEventListener("htmx:afterSettle", ({ detail: { elt, xhr, requestConfig } }) => {
  const part = document.getElementById(elt.id) ?? elt;
  enliven(part.parentElement ?? part);
  const { typed = [], hasMovedOn = true, place } = asked.get(xhr); // without them: only beside its own part
  putBack(typed, part);
  if (!hasMovedOn) focusTrouble(part);
  else if (requestConfig.verb !== "get") tellTrouble(part);
  if (place && document.activeElement === document.body) {
    focusable(part).find((each) => nameOf(each) === place)?.focus({ preventScroll: true });
  }
});

// Whoever stays where nobody is signed in any more keeps what they typed, and a button that works.
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr, requestConfig } = event.detail;
  if (xhr.status !== 401 || requestConfig.verb === "get") return;
  event.preventDefault();
  toast("You are signed out. Sign in in another tab; what you typed is still here.");
});

// A button that was disabled while it asked has lost the focus by that.
document.addEventListener("htmx:afterRequest", ({ detail: { xhr, requestConfig } }) => {
  if (requestConfig.verb !== "get" && document.activeElement === document.body) asked.get(xhr)?.from.focus();
});

/** Where something went wrong, there the next thing is to be typed. */
function focusTrouble(root) {
  const trouble = root.querySelector("[data-focus], [aria-invalid=true]");
  const target = trouble?.matches("fieldset") ? trouble.querySelector("input") : trouble;
  target?.focus();
}

/** What became of it, to somebody who is elsewhere by now. */
function tellTrouble(root) {
  const words = root.querySelector(".note-bad, .field-error, .saved:not(:empty)")?.textContent.trim();
  if (words) toast(words);
}
