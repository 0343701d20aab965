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

// Keys that lead somewhere
let afterG = -Infinity; // moments count from when the page was asked for

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open], details.more[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    return;
  }
  const keys = document.getElementById("keys");
  if (!keys || !isShortcut(event)) return;
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
