// A Page's settings: Save stays in sight while something is typed, and a phone shows the greeting.
"use strict";

const NAMES = { user_first_name: "Alex", user_last_name: "Morgan", user_full_name: "Alex Morgan" };

function markChanges(form) {
  const dirty = "refused" in form.dataset || [...form.elements].some((each) => each.type !== "hidden" && isChanged(each));
  form.classList.toggle("is-dirty", dirty);
  form.querySelector("[data-unsaved]").hidden = !dirty;
}

function showPreview() {
  for (const part of document.querySelectorAll("[data-preview-text]")) {
    const typed = document.getElementById(part.dataset.previewText).value.trim();
    part.textContent = typed.replace(/\{\{(\w+)\}\}/g, (whole, name) => NAMES[name] ?? whole);
    part.hidden = !typed;
  }
  for (const part of document.querySelectorAll("[data-preview-with]")) {
    part.hidden = !document.getElementById(part.dataset.previewWith).value.trim();
  }
  for (const part of document.querySelectorAll("[data-preview-without]")) {
    part.hidden = Boolean(document.getElementById(part.dataset.previewWithout).value.trim());
  }
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-watched]");
  if (!form) return;
  markChanges(form);
  showPreview();
});

document.addEventListener("htmx:afterSettle", showPreview);

// Whoever leaves with something unsaved is asked first.
window.addEventListener("beforeunload", (event) => {
  if (document.querySelector("form.is-dirty:not([data-sent])")) event.preventDefault();
});

document.addEventListener("submit", (event) => {
  if (!event.defaultPrevented) event.target.dataset.sent = ""; // it leaves for another page
});
