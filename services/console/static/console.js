// What scripts add to pages that work without them.
"use strict";

const stored = (name, fallback) => {
  try {
    return localStorage.getItem(name) ?? fallback;
  } catch {
    return fallback;
  }
};

const store = (name, value) => {
  try {
    localStorage.setItem(name, value);
  } catch {
    // private windows may refuse: then it counts for this page only
  }
};

/** Say something in a corner, for screen readers as well. */
function toast(words) {
  const note = document.createElement("div");
  note.className = "toast-note";
  note.textContent = words;
  document.querySelector("#toasts").append(note);
  setTimeout(() => note.remove(), 8000);
  return note;
}

/** Make a part of the page lively: after loading, and after each exchange. */
function enliven(root) {
  for (const each of root.querySelectorAll("time[data-local]")) {
    const at = new Date(each.dateTime);
    each.title = each.textContent;
    const style = each.dataset.local === "time" ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
    each.textContent = at.toLocaleString(undefined, style);
  }
  for (const each of root.querySelectorAll("[data-shows], [data-copies], [data-themes], [data-scripted]")) {
    each.hidden = false;
  }
  for (const counter of root.querySelectorAll("[data-counter]")) {
    const field = document.getElementById(counter.dataset.counter);
    const limit = Number(counter.dataset.limit);
    const count = () => {
      counter.textContent = `${field.value.length} / ${limit}`;
      counter.classList.toggle("near", field.value.length >= limit * 0.9);
    };
    field.addEventListener("input", count);
    count();
  }
  for (const list of root.querySelectorAll("[data-at-end]")) {
    list.scrollTop = list.scrollHeight;
  }
  for (const part of root.querySelectorAll("[data-for-choice]")) {
    const choice = document.getElementById(part.dataset.forChoice);
    const fit = () => {
      part.hidden = !part.dataset.choices.split(" ").includes(choice.value);
    };
    choice.addEventListener("change", fit);
    fit();
  }
  markTheme();
}

/** Where something went wrong, there the next thing is to be typed. */
function focusTrouble(root) {
  const trouble = root.querySelector("[data-focus], [aria-invalid=true]");
  const target = trouble?.matches("fieldset") ? trouble.querySelector("input") : trouble;
  target?.focus();
}

/** Later tells whether the focus may be moved: not out of a field that somebody has gone to since. */
function focusFrom() {
  const from = document.activeElement;
  return () => document.activeElement === from || !isTyping(document.activeElement);
}

// Who goes on typing while an answer is on its way keeps it: the part that comes knows less.
const asked = new WeakMap(); // requests, and what stood in the part that each will exchange

const fieldsOf = (part) => part.querySelectorAll("input:not([type=hidden]), textarea, select");
const isBox = (field) => field.type === "checkbox" || field.type === "radio";
const nameOf = (field) => field.id || (isBox(field) ? `${field.name}=${field.value}` : field.name);
const stateOf = (field) => (isBox(field) ? field.checked : field.value);

document.addEventListener("htmx:beforeRequest", ({ detail: { xhr, target } }) => {
  const states = new Map([...fieldsOf(target)].map((each) => [nameOf(each), stateOf(each)]));
  asked.set(xhr, { states, mayFocus: focusFrom() });
});

document.addEventListener("htmx:beforeSwap", ({ detail: { xhr, target } }) => {
  const before = asked.get(xhr);
  before.typed = [...fieldsOf(target)].filter((each) => stateOf(each) !== before.states.get(nameOf(each)));
  const isAtWork = before.typed.includes(document.activeElement);
  before.isElsewhere = isAtWork || !before.mayFocus();
});

/** What was typed since the request, put into the part that came. */
function putBack(typed, part) {
  const fields = new Map([...fieldsOf(part)].map((each) => [nameOf(each), each]));
  for (const old of typed) {
    const field = fields.get(nameOf(old));
    if (!field) continue;
    if (isBox(field)) field.checked = old.checked;
    else field.value = old.value;
    if (field === document.activeElement && old.selectionStart != null) {
      field.setSelectionRange(old.selectionStart, old.selectionEnd);
    }
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
}

function markTheme() {
  const theme = stored("theme", "system");
  for (const each of document.querySelectorAll("[data-theme-choice]")) {
    each.setAttribute("aria-pressed", String(each.dataset.themeChoice === theme));
  }
}

async function copy(button) {
  const field = document.getElementById(button.dataset.copies);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // plain http elsewhere than on this machine has no clipboard
  }
  button.querySelector("span").textContent = "Copied";
  button.closest(".field").querySelector("[data-copied]").textContent = "Copied";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.shows) {
    const field = document.getElementById(button.dataset.shows);
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
    field.focus();
  } else if (button?.dataset.copies) {
    copy(button);
  } else if (button?.dataset.themeChoice) {
    store("theme", button.dataset.themeChoice);
    document.dispatchEvent(new Event("theme"));
    markTheme();
  }
  for (const menu of document.querySelectorAll("details.menu[open], details.more[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// Keys: off while somebody types, and where somebody has switched them off.
let afterG = -Infinity; // moments count from when the page was asked for

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open], details.more[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    return;
  }
  const keys = document.getElementById("keys");
  if (!keys || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (stored("keys", "on") === "off") return;
  if (event.key === "?") {
    keys.showModal();
  } else if (event.key === "g") {
    afterG = event.timeStamp;
  } else if (event.timeStamp - afterG < 1500) {
    afterG = -Infinity;
    const place = keys.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (place) location.assign(place.dataset.goes);
  }
});

document.getElementById("keys-on")?.addEventListener("change", (event) => {
  store("keys", event.target.checked ? "on" : "off");
});

/** Whoever signs out leaves nothing on this machine of what they were writing. */
function forgetDrafts() {
  for (const kept of [localStorage, sessionStorage]) {
    for (const name of Object.keys(kept)) {
      if (/^(draft|sent):/.test(name)) kept.removeItem(name);
    }
  }
}

document.addEventListener("submit", (event) => {
  if (/\/sign-out(-everywhere)?$/.test(event.target.getAttribute("action") ?? "")) forgetDrafts();
});

document.addEventListener("htmx:afterSettle", (event) => {
  const part = document.getElementById(event.detail.elt.id) ?? event.detail.elt;
  enliven(part.parentElement ?? part);
  const { typed, isElsewhere } = asked.get(event.detail.xhr);
  putBack(typed, part);
  if (!isElsewhere) focusTrouble(part);
});

/** A page that looks by itself, time and again, has lost nothing of what somebody typed. */
const isLook = (event) => event.detail.requestConfig?.verb === "get";

document.addEventListener("htmx:sendError", (event) => {
  if (isLook(event)) return;
  toast("The console can't be reached. What you typed is still here: try again.");
});

document.addEventListener("htmx:responseError", (event) => {
  if (isLook(event)) return;
  toast(`That was refused (${event.detail.xhr.status}). What you typed is still here.`);
});

enliven(document);
focusTrouble(document);
