// What scripts add to the composer: drafts are kept, and what is sent is sent once, come what may.
"use strict";

(() => {
  const { at, list, now, change, Refused, problem, refresh, toEnd, isLatest, current } = Thread;
  const SENT_KEPT_MS = 3600e3; // what is on its way and not on the page yet
  const UNSENT_KEPT_MS = 6 * 86400e3; // what was not heard of: for seven days a key sends once
  const STILL_MEANT_MS = 3600e3; // older than that, it is sent when somebody says so

  const UNSURE = "No answer yet. Trying again sends it once";

  const underWay = new Set(); // keys
  const arrived = new Set(); // keys of what is on the page, whatever their answers say

  let queue = Promise.resolve(); // messages leave one after the other

  // Writing

  const draftName = () => `draft:${current().account}:${current().id}`;
  const sentName = () => `sent:${current().account}:${current().id}`;
  const enterSends = () => stored("enter-sends", matchMedia("(pointer: coarse)").matches ? "off" : "on") === "on";

  function restoreDraft() {
    const field = at("composer-text");
    if (!field.value) field.value = stored(draftName(), "");
    at("composer-enter").checked = enterSends();
    count();
  }

  function keepDraft() {
    const text = at("composer-text").value;
    if (text) return store(draftName(), text);
    try {
      localStorage.removeItem(draftName());
    } catch {
      // private windows may refuse
    }
  }

  function put(text) {
    const field = at("composer-text");
    field.value = text;
    keepDraft();
    count();
  }

  let counting = 0;

  /** How long it is, and how many messages it takes: only the server can tell beyond one. */
  function count() {
    const text = at("composer-text").value.trim();
    const place_ = at("composer-count");
    const { limit, most } = at("composer").dataset;
    clearTimeout(counting);
    const length = `${text.length.toLocaleString()} / ${Number(most).toLocaleString()}`;
    place_.textContent = text.length > limit ? `${length} · more than one message` : text ? length : "";
    place_.classList.toggle("near", text.length > most * 0.9);
    if (text.length <= limit) return;
    const mine = current();
    counting = setTimeout(async () => {
      try {
        const { parts } = await change("/parts", { text });
        if (current() !== mine || at("composer-text").value.trim() !== text) return;
        place_.textContent = `${length} · will be sent as ${parts} message${parts === 1 ? "" : "s"}`;
      } catch {
        // it is only a count
      }
    }, 300);
  }

  function newKey() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
  }

  async function submit() {
    const text = at("composer-text").value.trim();
    if (!text || at("composer-fields").disabled) return;
    const mine = current();
    const take = await mayTake();
    if (!take || current() !== mine) return;
    at("thread-problem")?.remove();
    const message = { key: newKey(), text, at: new Date(now()).toISOString(), ...take };
    put("");
    at("composer").querySelectorAll("[name=take], [name=take_from]").forEach((each) => each.remove());
    keepPending([...pending(), message]);
    bubble(message);
    toEnd();
    send(message);
  }

  /** What taking over needs, after asking; {} where the conversation is ours; null: rather not. */
  async function mayTake() {
    const bar = at("thread-bar").querySelector(".bar");
    if (bar.matches(".bar-mine")) return {};
    const dialog = at("take-dialog");
    const who = bar.querySelector(".bar-who strong").textContent;
    dialog.querySelector("[data-why]").textContent = `${who}. To send your message you take the conversation over.`;
    // now: whoever has it when the answer comes is not who was asked about
    const form = at("take-form");
    const minutes = form.minutes.value === "own" ? form.own.value : form.minutes.value;
    const agreed = { take: "yes", minutes, take_from: form.take_from?.value ?? "" };
    const answer = await ask(dialog);
    at("composer-text").focus();
    return answer === "yes" ? agreed : null;
  }

  let settle = null; // the question that is open

  /** What was answered. "close" comes a little after a dialog closes: whoever is quick asks again before. */
  function ask(dialog) {
    settle?.();
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((done) => {
      const closed = () => dialog.open || settle?.();
      settle = () => {
        settle = null;
        dialog.removeEventListener("close", closed);
        done(dialog.returnValue);
      };
      dialog.addEventListener("close", closed);
    });
  }

  function send(message) {
    const mine = current();
    if (underWay.has(message.key)) return;
    underWay.add(message.key);
    queue = queue
      .then(() => deliver(message, mine))
      .catch(() => {})
      .finally(() => underWay.delete(message.key));
  }

  async function deliver(message, mine) {
    const here = () => current() === mine;
    const { text, key, take, minutes, take_from, again } = message;
    const fields = { text, key, ...(take && { take, minutes, take_from }), ...(again && { again }) };
    try {
      const answer = await change("/messages", fields, mine.base);
      forget(mine, key, answer.command_id);
      if (!here()) return;
      mark(key, answer.waits_for ? "Waits for the Page" : "Sending", "quiet");
      refresh();
    } catch (error) {
      if (!here() || arrived.has(key)) return;
      const isRefused = error instanceof Refused;
      // a repetition that the message itself did not get into says nothing of the first time
      const isOpen = error.code === "may_be_sent" || (again && (!error.code || error.code === "signed_out"));
      if (!isRefused || isOpen) {
        mark(key, UNSURE, "warn", true);
        if (isRefused) problem(error.message);
        return;
      }
      forget(mine, key);
      list().querySelector(`[data-pending="${key}"]`)?.remove();
      put(at("composer-text").value ? `${text}\n\n${at("composer-text").value}` : text);
      problem(`Not sent: ${error.message} Your text is still here.`);
      refresh();
    }
  }

  // What was sent and is not on the page yet

  function pending(name = sentName()) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(name) ?? "[]");
      return kept.filter((each) => ageOf(each) < (each.command ? SENT_KEPT_MS : UNSENT_KEPT_MS));
    } catch {
      return [];
    }
  }

  const ageOf = (message) => Date.now() - Date.parse(message.at);

  function keepPending(kept, name = sentName()) {
    try {
      kept.length ? sessionStorage.setItem(name, JSON.stringify(kept)) : sessionStorage.removeItem(name);
    } catch {
      // then a reload forgets it
    }
  }

  /** It is on its way (`command`), or was refused. */
  function forget(mine, key, command) {
    const name = `sent:${mine.account}:${mine.id}`;
    const kept = pending(name).map((each) => (each.key === key && command ? { ...each, command } : each));
    keepPending(command ? kept : kept.filter((each) => each.key !== key), name);
    if (current() !== mine) return;
    const node = list().querySelector(`[data-pending="${key}"]`);
    if (node && command) node.dataset.sent = command;
    settlePending();
  }

  function restorePending() {
    if (!isLatest()) return;
    for (const each of pending()) {
      if (list().querySelector(`[data-pending="${each.key}"]`)) continue;
      if (each.command && isThere(each.command)) continue;
      bubble(each);
      if (!each.command) mark(each.key, UNSURE, "warn", true);
    }
  }

  const isThere = (command) => command && list().querySelector(`[data-command="${CSS.escape(command)}"]`) !== null;

  function settlePending() {
    // a message may be there before the answer to its sending is, and that may never come
    const commands = JSON.parse(at("thread-foot").dataset.commands ?? "{}");
    keepPending(pending().filter((each) => !isThere(each.command ?? commands[each.key])));
    for (const each of list().querySelectorAll("[data-pending]")) {
      if (!isThere(each.dataset.sent ?? commands[each.dataset.pending])) continue;
      arrived.add(each.dataset.pending);
      each.remove();
    }
    if (!list().querySelector("[data-pending] ~ :not([data-pending])")) return;
    const focused = document.activeElement;
    list().append(...list().querySelectorAll("[data-pending]")); // below what is there, in their order
    if (list().contains(focused)) focused.focus({ preventScroll: true });
  }

  function bubble(message) {
    const node = document.createElement("li");
    node.className = "message of-human opens";
    node.dataset.key = `pending-${message.key}`;
    node.dataset.pending = message.key;
    if (message.command) node.dataset.sent = message.command;
    node.innerHTML = '<p class="author"></p><div class="said"><p class="text" dir="auto"></p></div><div class="below"><span class="status status-quiet">Sending</span></div>';
    node.querySelector(".author").textContent = `${at("thread-foot").dataset.writer} (you)`;
    node.querySelector(".text").textContent = message.text;
    at("thread-nothing")?.remove();
    list().append(node);
  }

  function mark(key, words, kind, canRetry = false) {
    const below = list().querySelector(`[data-pending="${key}"] .below`);
    if (!below) return;
    below.innerHTML = '<span class="status"></span>';
    below.firstChild.classList.add(`status-${kind}`);
    below.firstChild.textContent = words;
    if (!canRetry) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-secondary btn-sm";
    button.dataset.retry = key;
    button.textContent = "Try again";
    below.append(button);
    below.scrollIntoView({ block: "nearest" });
  }

  function retry(key) {
    const message = pending().find((each) => each.key === key);
    if (!message) return;
    mark(key, "Sending", "quiet");
    send({ ...message, again: "yes" });
  }

  // What somebody does

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "composer" || !current()) return;
    event.preventDefault();
    submit();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-retry]");
    if (button && current()) retry(button.dataset.retry);
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "composer-text" || !current()) return;
    keepDraft();
    count();
  });

  document.addEventListener("change", (event) => {
    if (event.target.id === "composer-enter") store("enter-sends", event.target.checked ? "on" : "off");
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "composer-text" || !current()) return;
    if (event.key !== "Enter" || event.isComposing || event.shiftKey) return;
    if (!enterSends() && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    submit();
  });

  function backAgain() {
    if (!current()) return;
    for (const each of pending()) if (!each.command && ageOf(each) < STILL_MEANT_MS) retry(each.key);
  }

  document.addEventListener("live-state", (event) => {
    if (["live", "polling"].includes(event.detail?.state)) backAgain();
  });
  window.addEventListener("online", backAgain);

  // The same draft in two tabs: what one of them sends is not there to be sent by the other, too.
  window.addEventListener("storage", (event) => {
    if (!current() || event.key !== draftName() || !at("composer-text")) return;
    if (at("composer-text").value !== (event.oldValue ?? "")) return;
    at("composer-text").value = event.newValue ?? "";
    count();
  });

  Thread.shown = restoreDraft;
  Thread.pending = () => pending().map((each) => each.key);
  Thread.listed = () => {
    restorePending();
    settlePending();
  };
})();
