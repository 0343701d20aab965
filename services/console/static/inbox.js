// What scripts add to the inbox: it is exchanged in parts, where without them pages are loaded.
"use strict";

const inbox = document.getElementById("inbox");
const ONE_OPEN = /^\/inbox\/(\d+:\d+)$/;
const AT_ONCE = 100; // of the list, in one answer

const part = (id) => document.getElementById(id);
const openId = () => ONE_OPEN.exec(decodeURIComponent(location.pathname))?.[1] ?? null;

// Exchanging what has changed, and nothing else: focus, scroll and opened parts stay.

/** What the server said of an element: scripts may have changed it since. */
const sources = new WeakMap();

function note(element) {
  sources.set(element, element.outerHTML);
  for (const time of element.querySelectorAll("time[data-ago]")) {
    const at = new Date(time.dateTime);
    time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "short" });
  }
}

const isSame = (old, fresh) =>
  fresh.dataset.version === undefined
    ? sources.get(old) === fresh.outerHTML
    : old.dataset.version === fresh.dataset.version;

/** Children of `list` become those of `fresh`, by their data-key; those that are the same stay. */
function exchangeKeyed(list, fresh) {
  const there = new Map([...list.children].map((each) => [each.dataset.key, each]));
  const wanted = new Set([...fresh.children].map((each) => each.dataset.key));
  const find = (focused) => {
    const old = focused.closest("[data-key]");
    const at = focusable(old ?? list).indexOf(focused);
    return () => {
      const now = old && list.querySelector(`[data-key="${CSS.escape(old.dataset.key)}"]`);
      return now ? focusable(now)[at] : list.querySelector("a[href]");
    };
  };
  keepingFocus(list, find, () => {
    for (const [key, each] of there) if (!wanted.has(key)) each.remove();
    let place = list.firstElementChild;
    for (const each of [...fresh.children]) {
      const old = there.get(each.dataset.key);
      if (old && isSame(old, each)) {
        if (old === place) place = place.nextElementSibling;
        else list.insertBefore(old, place);
        continue;
      }
      if (old === place) place = place?.nextElementSibling ?? null;
      old?.remove();
      note(each);
      list.insertBefore(each, place);
      enliven(each);
    }
  });
}

/** A part as a whole, unless it is the same. Opened `details` of it stay open. */
function exchangeWhole(id, fresh) {
  const old = part(id);
  const now = fresh.getElementById(id);
  if (!old || !now || sources.get(old) === now.outerHTML) return;
  const opened = [...old.querySelectorAll("details")].map((each) => each.open);
  note(now);
  exchangeAlike(old, now);
  [...now.querySelectorAll("details")].forEach((each, at) => {
    each.open = opened[at] ?? each.open;
  });
  enliven(now);
  showDetails();
}

// Asking the server.

class AwayError extends Error {
  constructor(reference) {
    super("no answer");
    this.reference = reference;
  }
}

/** A fragment of ours, as a document. Throws AwayError.
 *
 * `unasked`: nobody clicked; such a look does not keep a session from ending.
 */
async function ask(address, { unasked = false } = {}) {
  const headers = { "X-Requested-With": "inbox", ...(unasked && { "X-Background": "1" }) };
  let response;
  try {
    response = await fetch(address, { headers });
  } catch {
    throw new AwayError(null);
  }
  if (response.redirected) {
    location.reload(); // signed out: the door, and back here
    throw new AwayError(null);
  }
  const text = await response.text().catch(() => {
    throw new AwayError(null); // cut off
  });
  const found = new DOMParser().parseFromString(text, "text/html");
  if (response.ok) return found;
  throw new AwayError(found.querySelector("[data-reference]")?.dataset.reference ?? null);
}

/** Throws AwayError. `unasked`: as of `ask`. */
async function tell(address, fields, { unasked = false } = {}) {
  const headers = { "X-Requested-With": "inbox", ...(unasked && { "X-Background": "1" }) };
  let response;
  try {
    response = await fetch(address, { method: "POST", body: new URLSearchParams(fields), headers });
  } catch {
    throw new AwayError(null);
  }
  if (response.redirected) {
    location.reload(); // signed out: nothing was done
    throw new AwayError(null);
  }
  if (!response.ok) throw Object.assign(new AwayError(null), { status: response.status });
}

// The list.

let looks = 0; // the latest wins
let hasMoved = false; // another list was asked for, and is not shown yet
let listed = location.search; // which list is shown

function listAddress(more) {
  const query = new URLSearchParams(location.search);
  query.delete("cursor");
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  if (openId()) query.set("open", openId());
  return `/inbox/list?${query}`;
}

/** Look anew, in the length that the list has. `moved`: another list, from its beginning. */
async function refreshList({ moved = false, changed = null, unasked = false } = {}) {
  const look = ++looks;
  hasMoved ||= moved;
  const rows = part("inbox-rows");
  const length = rows.children.length;
  const limit = hasMoved ? 40 : Math.min(Math.max(length, 40), AT_ONCE);
  let found;
  try {
    found = await ask(listAddress({ limit }), { unasked });
  } catch (error) {
    if (!(error instanceof AwayError)) throw error;
    if (look === looks) showStale(error.reference);
    return;
  }
  if (look !== looks) return;
  if (!hasMoved && rows.children.length > length) return refreshList({ changed, unasked }); // Show more
  const isAnother = hasMoved;
  hasMoved = false;
  const fresh = found.getElementById("inbox-rows");
  const isLonger = !isAnother && rows.children.length > AT_ONCE && fresh.children.length === AT_ONCE;
  if (isLonger) keepRest(rows, fresh, new Set(changed));
  staying(isAnother, () => exchangeKeyed(rows, fresh));
  rows.classList.remove("is-stale");
  rows.setAttribute("aria-label", fresh.getAttribute("aria-label"));
  for (const id of ["inbox-tabs", "inbox-said"]) exchangeWhole(id, found);
  if (!isLonger) exchangeWhole("inbox-end", found);
  if (isAnother) say(rows.children.length, found);
}

/** Behind the part that is looked at anew, what was shown stays, but for what has changed. */
function keepRest(rows, fresh, changed) {
  const there = new Set([...fresh.children].map((each) => each.dataset.key));
  for (const each of [...rows.children].slice(AT_ONCE)) {
    if (there.has(each.dataset.key) || changed.has(each.dataset.key)) continue;
    const copy = document.createElement("template");
    copy.innerHTML = sources.get(each) ?? each.outerHTML; // the server's own words
    fresh.append(copy.content.firstElementChild);
  }
}

/** What somebody looks at stays where it is when lines come in above it. */
function staying(moved, exchange) {
  const scroller = part("inbox-scroll");
  const top = scroller.getBoundingClientRect().top;
  const seen = [...part("inbox-rows").children].find(
    (each) => each.getBoundingClientRect().bottom > top,
  );
  const key = !moved && scroller.scrollTop > 0 ? seen?.dataset.key : null;
  const before = seen?.getBoundingClientRect().top;
  exchange();
  if (moved) scroller.scrollTop = 0;
  const now = key && part("inbox-rows").querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (now) scroller.scrollTop += now.getBoundingClientRect().top - before;
}

function say(count, found) {
  const more = found.querySelector("[data-more]") ? "or more " : "";
  part("inbox-status").textContent =
    count === 1 ? "1 conversation" : `${count} ${more}conversations`;
}

/** What was read before stays there, and is said to be old. */
function showStale(reference) {
  part("inbox-rows").classList.add("is-stale");
  const said = document.createElement("div");
  said.id = "inbox-said";
  const box = document.createElement("div");
  box.className = "note note-warn inbox-note";
  box.setAttribute("role", "status");
  const words = document.createElement("div");
  const retry = document.createElement("a");
  retry.href = location.href;
  retry.dataset.retry = "";
  retry.textContent = "Retry";
  words.append("No answer: this list may be out of date. Nothing is lost. ", retry);
  if (reference) {
    const small = document.createElement("small");
    small.textContent = `Reference: ${reference}`;
    words.append(small);
  }
  box.append(words);
  said.append(box);
  part("inbox-said").replaceWith(said);
}

/** Another list: its address, and the list. */
async function go(search, how = "push") {
  history[how === "push" ? "pushState" : "replaceState"](null, "", location.pathname + search);
  listed = location.search;
  fillFilters();
  for (const back of document.querySelectorAll(".inbox-back")) back.href = `/inbox${search}`;
  await refreshList({ moved: true });
}

/** The filters say what the address says; what somebody types at this moment stays. */
function fillFilters() {
  const query = new URLSearchParams(location.search);
  const form = part("inbox-filters");
  const search = part("inbox-search");
  if (search !== document.activeElement) search.value = query.get("q") ?? "";
  form.elements.unread.checked = query.get("unread") === "1";
  if (form.elements.page) form.elements.page.value = query.get("page") ?? "";
}

/** The list that the filters ask for, of this tab. */
function filtered(tab = new URLSearchParams(location.search).get("tab")) {
  const form = part("inbox-filters");
  const query = new URLSearchParams(tab ? { tab } : {});
  if (form.elements.page?.value) query.set("page", form.elements.page.value);
  if (form.elements.unread.checked) query.set("unread", "1");
  if (form.elements.q.value.trim()) query.set("q", form.elements.q.value.trim());
  return String(query) ? `?${query}` : "";
}

async function showMore(link) {
  const { search } = location;
  link.setAttribute("aria-busy", "true");
  const cursor = new URL(link.href).searchParams.get("cursor");
  const mayFocus = focusFrom();
  let found;
  try {
    found = await ask(listAddress({ cursor }));
  } catch {
    link.removeAttribute("aria-busy");
    toast("No answer. Nothing is lost: try again.");
    return;
  }
  if (location.search !== search) return; // another list has been asked for meanwhile
  const rows = part("inbox-rows");
  const there = new Set([...rows.children].map((each) => each.dataset.key));
  const added = [...found.getElementById("inbox-rows").children].filter(
    (each) => !there.has(each.dataset.key),
  );
  for (const each of added) {
    note(each);
    rows.append(each);
  }
  exchangeWhole("inbox-end", found);
  if (mayFocus()) added[0]?.querySelector("a").focus();
}

// One conversation.

let listScroll = 0;
let opening = 0;

function markRow() {
  for (const link of part("inbox-rows").querySelectorAll("a[aria-current]")) {
    link.removeAttribute("aria-current");
  }
  rowOf(openId())?.setAttribute("aria-current", "true");
}

const rowOf = (id) => id && document.querySelector(`[data-conversation="${CSS.escape(id)}"].inbox-row`);

async function openConversation(href, { push = true } = {}) {
  const turn = ++opening;
  const url = new URL(href, location.href);
  const panes = part("inbox-panes");
  panes.classList.add("is-busy");
  panes.inert = true; // nobody goes on writing in the one that is left
  const mayFocus = focusFrom();
  let found;
  try {
    found = await ask(`${url.pathname}/panes${url.search}`);
  } catch {
    if (turn === opening) location.assign(href); // the page says what is wrong
    return;
  }
  if (turn !== opening) return;
  listScroll = part("inbox-scroll").scrollTop || listScroll;
  if (push) history.pushState(null, "", url.pathname + location.search); // the list may be another by now
  show([...found.body.childNodes]);
  if (mayFocus()) part("conversation-title")?.focus({ preventScroll: true });
}

function closeConversation({ push = true } = {}) {
  opening += 1;
  const was = openId() ?? part("conversation-head")?.dataset.conversation;
  if (push) history.pushState(null, "", `/inbox${location.search}`);
  show([part("inbox-nothing").content.cloneNode(true)]);
  part("inbox-scroll").scrollTop = listScroll;
  (rowOf(was) ?? document.querySelector("h1")).focus({ preventScroll: true });
}

function show(nodes) {
  const panes = part("inbox-panes");
  panes.replaceChildren(...nodes);
  panes.classList.remove("is-busy");
  panes.inert = false;
  inbox.classList.toggle("has-open", openId() !== null);
  inbox.classList.remove("has-sheet");
  const name = part("conversation-title")?.textContent;
  document.title = `${name ? `${name} · ` : ""}Inbox · Messenger assistant`;
  markRow();
  shown();
}

/** The panes are there, by loading or by exchange. */
function shown() {
  for (const id of ["conversation-head", "details"]) if (part(id)) note(part(id));
  enliven(part("inbox-panes"));
  showDetails();
  document.dispatchEvent(new CustomEvent("thread-shown"));
  markSeen();
}

async function refreshOpen({ unasked = false } = {}) {
  const id = openId();
  if (!id) return;
  try {
    const found = await ask(`/inbox/${id}/details${location.search}`, { unasked });
    if (openId() !== id) return;
    for (const each of ["conversation-head", "details"]) exchangeWhole(each, found);
    markSeen();
  } catch {
    // the list says that there is no answer
  }
}

/** Whoever looks at a conversation has seen its latest message: a hidden tab looks at nothing. */
async function markSeen() {
  const head = part("conversation-head");
  const at = head?.dataset.unseen;
  if (!at || document.visibilityState !== "visible") return;
  delete head.dataset.unseen;
  try {
    await tell(`/inbox/${head.dataset.conversation}/seen`, { at }, { unasked: true });
    refreshList({ unasked: true });
  } catch {
    head.dataset.unseen = at; // next time
  }
}

async function setDone(id, done, wroteAt = "") {
  try {
    await tell(`/inbox/${id}/done`, wroteAt ? { done, wrote_at: wroteAt } : { done });
  } catch (error) {
    const hasWritten = error.status === 409;
    toast(hasWritten ? "Not marked as done: the person has just written." : "No answer: it stays as it was. Try again.");
    if (hasWritten) refreshOpen();
    return;
  }
  refreshList();
  refreshOpen();
  if (!done) return;
  const undo = document.createElement("button");
  undo.type = "button";
  undo.textContent = "Undo";
  undo.addEventListener("click", () => {
    undo.parentElement.remove();
    setDone(id, false);
  });
  toast("Marked as done.").append(undo);
}

// The details: beside the conversation where there is room, else a sheet over it.

const narrow = matchMedia("(max-width: 1199.98px)");

function showDetails() {
  inbox.classList.toggle("no-details", stored("details", "shown") === "hidden" && !narrow.matches);
  const isShown = narrow.matches
    ? inbox.classList.contains("has-sheet")
    : !inbox.classList.contains("no-details");
  for (const button of document.querySelectorAll("[data-details]")) {
    button.hidden = false;
    button.setAttribute("aria-expanded", String(isShown));
  }
}

function toggleDetails() {
  if (narrow.matches) {
    const isShown = inbox.classList.toggle("has-sheet");
    showDetails();
    if (isShown) part("details").querySelector("button").focus();
    else document.querySelector("#conversation-head [data-details]").focus();
  } else {
    store("details", inbox.classList.contains("no-details") ? "shown" : "hidden");
    showDetails();
  }
}

// What people do.

const isPlain = (event) =>
  event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

inbox.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (event.target.closest("[data-details]")) toggleDetails();
  if (!link || !isPlain(event)) return;
  if (link.matches(".inbox-row")) {
    event.preventDefault();
    openConversation(link.href);
  } else if (link.matches(".inbox-back")) {
    event.preventDefault();
    closeConversation();
  } else if (link.matches("[data-retry]")) {
    event.preventDefault();
    refreshList();
  } else if (link.matches("[data-more]")) {
    event.preventDefault();
    showMore(link);
  } else if (link.closest("#inbox-list") && link.pathname === "/inbox") {
    event.preventDefault();
    const mayFocus = focusFrom();
    clearTimeout(typing);
    // a tab's own address may be older than what the filters say by now
    const search = link.closest("#inbox-tabs") ? filtered(new URLSearchParams(link.search).get("tab")) : link.search;
    go(search).then(() => mayFocus() && part("inbox-tabs").querySelector("[aria-current]")?.focus());
  }
});

inbox.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id === "inbox-filters") {
    event.preventDefault();
    go(filtered());
  } else if (form.matches("[data-done-form]")) {
    event.preventDefault();
    const { done, wrote_at: wroteAt } = form.elements;
    setDone(part("conversation-head").dataset.conversation, done.value === "true", wroteAt?.value);
  }
});

let typing = 0;

inbox.addEventListener("input", (event) => {
  if (event.target.id !== "inbox-search") return;
  clearTimeout(typing);
  typing = setTimeout(() => go(filtered(), "replace"), 250);
});

inbox.addEventListener("change", (event) => {
  if (event.target.form?.id === "inbox-filters" && event.target.id !== "inbox-search") {
    go(filtered());
  }
});

addEventListener("popstate", () => {
  const moved = location.search !== listed;
  listed = location.search;
  fillFilters();
  refreshList({ moved });
  const now = openId();
  if (now === (part("conversation-head")?.dataset.conversation ?? null)) return;
  if (now) openConversation(location.href, { push: false });
  else closeConversation({ push: false });
});

function step(by) {
  const links = [...part("inbox-rows").querySelectorAll(".inbox-row")];
  const focused = document.activeElement.closest?.(".inbox-row") ?? rowOf(openId());
  const at = links.indexOf(focused);
  const to = links[at < 0 ? 0 : at + by];
  to?.focus();
  to?.scrollIntoView({ block: "nearest" });
}

let isMenuOpen = false;

document.addEventListener(
  "keydown",
  () => {
    isMenuOpen = document.querySelector("details.menu[open], details.more[open]") !== null;
  },
  { capture: true }, // before Escape closes it
);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return closeTop(event);
  if (!isShortcut(event)) return;
  if (event.key === "/") {
    event.preventDefault();
    if (!part("inbox-list").checkVisibility()) closeConversation();
    part("inbox-search").focus();
  } else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "e") document.querySelector("#inbox-panes:not([inert]) [data-done-form]")?.requestSubmit();
});

/** Closes what is on top: the sheet, what is searched for, the conversation. */
function closeTop(event) {
  if (isMenuOpen || event.target.closest?.("details.pop[open]")) return; // that closes by itself
  const search = part("inbox-search");
  if (inbox.classList.contains("has-sheet")) toggleDetails();
  else if (event.target === search) {
    if (search.value) {
      search.value = "";
      go(filtered(), "replace");
    } else (rowOf(openId()) ?? part("inbox-rows").querySelector("a"))?.focus();
  } else if (openId() && !isTyping(event.target) && !event.defaultPrevented) closeConversation();
}

// News.

let changes = new Set();
let isCatchingUp = false;

document.addEventListener("inbox-changed", (event) => {
  changes.add(null); // the list, in any case
  for (const id of event.detail?.conversations ?? [openId()]) changes.add(id);
  catchUp();
});

/** One look at a time: where answers are slow, what comes meanwhile is looked at together. */
async function catchUp() {
  if (isCatchingUp) return;
  isCatchingUp = true;
  try {
    while (changes.size > 0) {
      const changed = changes;
      changes = new Set();
      const isOpen = changed.has(openId());
      await Promise.all([
        refreshList({ changed, unasked: true }),
        isOpen ? refreshOpen({ unasked: true }) : null,
      ]);
    }
  } finally {
    isCatchingUp = false;
  }
}

document.addEventListener("visibilitychange", markSeen);
narrow.addEventListener("change", showDetails);

window.exchangeKeyed = exchangeKeyed; // for the thread

inbox.classList.add("is-scripted");
for (const row of part("inbox-rows").children) note(row);
for (const id of ["inbox-tabs", "inbox-said", "inbox-end"]) note(part(id));
shown();
