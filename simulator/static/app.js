// The chat page: one is a Facebook person who writes to a Page.

import * as api from "./api.js";
import { $ } from "./dom.js";
import { People, face, fullName } from "./people.js";
import { Profile } from "./profile.js";
import { Thread } from "./thread.js";

const READ_AFTER_MS = 400;
const RETRY_MS = 2000;
const KEEP_STREAM_MS = 10_000;
const REFRESH_PEOPLE_MS = 15_000;
const TALLEST_TEXT_PX = 140;

let page = null; // {id, name}
let psid = null;
let source = null; // the open stream of server-sent events
let photo = null; // the picture to send
let reading = 0;

const people = new People((chosen) => open(chosen, { focus: true }));
const thread = new Thread(toggleReaction, sendQuickReply);
const profile = new Profile(tap);

async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    complain(error.message);
    return false;
  }
}

let toastTimer = 0;
function complain(message) {
  $("toast").textContent = message;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 6000);
}

// Who writes to whom

async function start() {
  const pages = await api.listPages();
  $("page").replaceChildren(...pages.map((each) => new Option(each.name, each.id)));
  const wanted = new URLSearchParams(location.hash.slice(1));
  page = pages.find((each) => each.id === wanted.get("page")) ?? pages[0] ?? null;
  if (!page) {
    people.show(null, [], null);
    setTimeout(() => page || attempt(start), RETRY_MS);
    return complain("There is no Page: POST /simulator/api/pages makes one.");
  }
  $("page").value = page.id;
  await showPage(wanted.get("person"));
}

async function showPage(wantedPsid) {
  const faceUrl = `/avatars/${page.id}.svg`;
  for (const id of ["page-face", "intro-face", "typing-face"]) $(id).src = faceUrl;
  for (const id of ["page-name", "intro-name"]) $(id).textContent = page.name;
  const all = await api.listPeople(page.id);
  people.show(page.id, all, psid);
  const chosen = all.find((each) => each.psid === wantedPsid) ?? all[0];
  if (chosen) open(chosen.psid);
  else close();
}

function open(chosen, { focus = false } = {}) {
  const person = people.all.find((each) => each.psid === chosen);
  $("shell").dataset.view = "thread";
  if (psid !== chosen || !source) {
    close();
    psid = chosen;
    people.choose(chosen);
    $("person-name").textContent = fullName(person);
    $("person-face").src = face(page.id, chosen);
    $("as").hidden = false;
    $("text").placeholder = `Message ${page.name}`;
    history.replaceState(null, "", `#page=${page.id}&person=${chosen}`);
    listen();
  }
  if (focus) $("text").focus();
}

function close() {
  source?.close();
  source = null;
  psid = null;
  thread.seenAt = 0;
  thread.clear();
  profile.show({ person: null, isNew: false });
  $("as").hidden = true;
}

function listen() {
  const stream = api.events(page.id, psid);
  source = stream;
  const on = (name, handle) => stream.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  on("thread", (whole) => {
    connected(true);
    thread.show(whole, `/avatars/${page.id}.svg`);
    const person = people.all.find((each) => each.psid === psid);
    profile.show({ profile: whole.profile, person, isNew: whole.messages.length === 0 });
    if (!whole.read && thread.messages.some((message) => message.from === "page")) readSoon();
  });
  on("message", (message) => {
    thread.add(message);
    people.touch(psid, message);
    profile.show({ isNew: false });
    if (message.from === "page") readSoon();
  });
  on("state", (state) => thread.state(state));
  on("profile", (changed) => profile.show({ profile: changed }));
  on("reported", ({ mid }) => thread.update({ mid, reported: true }));
  on("reaction", ({ mid, emoji }) => thread.update({ mid, reaction: emoji }));
  stream.onerror = () => {
    connected(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => recover(stream), RETRY_MS);
  };
}

function connected(yes) {
  document.body.classList.toggle("offline", !yes);
  $("lost").textContent = yes ? "" : "Connection lost, reconnecting…";
}

// Browsers give up on a stream that is refused: the simulator is down, or its world was reset.
async function recover(stream) {
  if (source !== stream) return;
  const pages = await api.listPages().catch(() => null);
  if (source !== stream) return;
  if (!pages) setTimeout(() => recover(stream), RETRY_MS);
  else if (pages.some((each) => each.id === page.id)) listen();
  else {
    close();
    await attempt(start);
  }
}

// A thread that is looked at has been read.
function readSoon() {
  clearTimeout(reading);
  const [readPage, reader] = [page.id, psid];
  reading = setTimeout(() => {
    if (document.visibilityState === "visible" && reader === psid) {
      api.read(readPage, reader).catch(() => {}); // the next message tries again
    }
  }, READ_AFTER_MS);
}

// What one does

async function send() {
  const text = $("text").value.trim();
  const picture = photo;
  if ((!text && !picture) || !psid) return;
  const to = { page: page.id, psid };
  $("text").value = "";
  choosePhoto(null);
  fit();
  const sent = await attempt(async () => {
    const message = { psid: to.psid };
    if (picture) {
      const url = await api.upload(picture);
      message.attachments = [{ type: "image", payload: { url } }];
    }
    if (text) message.text = text;
    await api.write(to.page, message);
  });
  if (!sent && $("text").value === "" && to.psid === psid) {
    $("text").value = text;
    choosePhoto(picture);
    fit();
  }
}

function toggleReaction(message) {
  const action = message.reaction ? "unreact" : "react";
  attempt(() => api.react(page.id, { psid, mid: message.mid, reaction: "love", action }));
}

function sendQuickReply(reply) {
  const message = { psid, text: reply.title, quick_reply: { payload: reply.payload ?? "" } };
  attempt(() => api.write(page.id, message));
}

function tap(payload, title) {
  $("text").focus();
  attempt(() => api.tap(page.id, { psid, payload, title }));
}

function choosePhoto(file) {
  photo = file;
  $("preview").hidden = !file;
  if (!file) {
    $("preview-image").removeAttribute("src");
    $("file").value = "";
  } else {
    const reader = new FileReader(); // a data: address, which the page's policy lets through
    reader.onload = () => { if (photo === file) $("preview-image").src = reader.result; };
    reader.readAsDataURL(file);
  }
  fit();
}

function fit() {
  const box = $("text");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, TALLEST_TEXT_PX)}px`;
  $("send").disabled = !box.value.trim() && !photo;
}

// Wiring

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
$("text").addEventListener("input", fit);
$("text").addEventListener("paste", (event) => {
  const image = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
  if (image) choosePhoto(image);
});
$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => choosePhoto($("file").files[0] ?? null));
$("preview-remove").addEventListener("click", () => choosePhoto(null));
$("page").addEventListener("change", async () => {
  const pages = await api.listPages();
  page = pages.find((each) => each.id === $("page").value);
  close();
  await attempt(() => showPage(null));
});
$("back").addEventListener("click", () => {
  $("shell").dataset.view = "people";
  $("people").querySelector("[aria-current]")?.focus();
});
$("add-person").addEventListener("click", () => $("dialog").showModal());
$("dialog-cancel").addEventListener("click", () => $("dialog").close());
$("new-person").addEventListener("submit", () => {
  const form = new FormData($("new-person"));
  $("new-person").reset();
  attempt(async () => {
    const person = await api.addPerson(page.id, Object.fromEntries(form));
    people.show(page.id, [person, ...people.all], psid);
    open(person.psid, { focus: true });
  });
});
// Browsers open six connections to one place: tabs in the background give theirs back.
let leaving = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (document.visibilityState === "hidden") {
    leaving = setTimeout(() => {
      source?.close();
      source = null;
    }, KEEP_STREAM_MS);
    return;
  }
  if (!source && psid) listen(); // the whole thread comes first: nothing is missed
  if (thread.messages.at(-1)?.from === "page") readSoon();
});
setInterval(async () => {
  if (!page || document.visibilityState !== "visible") return;
  const id = page.id;
  const all = await api.listPeople(id).catch(() => null);
  if (all && page.id === id) people.show(id, all, psid);
}, REFRESH_PEOPLE_MS);

attempt(start);
fit();
