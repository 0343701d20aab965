// One conversation: bubbles, time lines, dots, and what became of one's last message.

import { $, el, isBigEmoji, linked, moment, sameDay } from "./dom.js";

const INBOX_APP_ID = "263902037430900";
const GROUP_MS = 5 * 60_000;
const TIME_LINE_MS = 20 * 60_000;
const NEAR_BOTTOM_PX = 120;
const PAGE_STATES = {
  ours: "Usually answers within seconds",
  inbox: "Answered from the Page's inbox",
  other: "Answered by another app",
};
const BEGINNING = "This is the beginning of the conversation. The Page's assistant answers within seconds.";
const EARLIER = "Earlier messages are not shown here.";

// Who wrote a message of the Page, if it was not the app's assistant.
function author(message) {
  if (message.from !== "page") return null;
  if (message.app_id === INBOX_APP_ID) return "A person, from the Page's inbox";
  return message.tag === "HUMAN_AGENT" ? "A person, from the console" : null;
}

function belongTogether(a, b) {
  return a && b && a.from === b.from && author(a) === author(b) && b.at - a.at < GROUP_MS;
}

function picture(url) {
  const { pathname } = new URL(url, location.href);
  return pathname.startsWith("/media/") ? pathname : null; // nothing is loaded from elsewhere
}

function attachment(each) {
  const url = each.payload?.url;
  const local = url && each.type === "image" ? picture(url) : null;
  if (local) return el("img", { class: "photo", src: local, alt: "Picture", loading: "lazy" });
  const label = `${each.type}${url ? ` · ${url}` : ""}`;
  return el("div", { class: "bubble file", dir: "auto" }, "📎 ", label);
}

export class Thread {
  constructor(onReact, onQuickReply) {
    Object.assign(this, { onReact, onQuickReply, messages: [], rows: new Map(), seenAt: 0 });
    this.clear();
    $("newer").addEventListener("click", () => this.toBottom("smooth"));
    $("scroll").addEventListener("scroll", () => this.scrolled());
    // the composer grows, the keyboard comes up: what was in sight stays in sight
    new ResizeObserver(() => this.follows && this.toBottom()).observe($("scroll"));
    $("log").addEventListener("load", () => this.follows && this.toBottom(), true);
  }

  clear() {
    clearTimeout(this.fading);
    this.messages = [];
    this.rows.clear();
    this.status = null;
    this.follows = true;
    this.scrollTop = 0;
    $("log").replaceChildren();
    $("chips").replaceChildren();
    $("typing").hidden = true;
    $("newer").hidden = true;
  }

  // The whole thread, also after a lost connection: what is there already stays.
  show(thread, pageFace) {
    this.pageFace = pageFace;
    const lastMid = this.messages.at(-1)?.mid;
    const known = thread.messages.findIndex((message) => message.mid === lastMid) + 1;
    if (!known) this.clear();
    $("intro-text").textContent = thread.omitted ? EARLIER : BEGINNING;
    const first = this.messages.length === 0;
    const log = $("log");
    if (first) log.setAttribute("aria-live", "off"); // history is not news
    thread.messages.slice(known).forEach((message) => this.add(message, !first));
    thread.messages.forEach((message) => this.update(message));
    this.state(thread);
    if (first) {
      this.toBottom();
      requestAnimationFrame(() => log.setAttribute("aria-live", "polite"));
    }
  }

  add(message, isNew = true) {
    if (this.rows.has(message.mid)) return;
    const before = this.messages.at(-1);
    this.follows ||= message.from === "person";
    this.messages.push(message);
    const row = this.row(message, isNew);
    this.rows.set(message.mid, row);
    const away = before && (!sameDay(before.at, message.at) || message.at - before.at > TIME_LINE_MS);
    if (!before || away) {
      $("log").append(el("p", { class: "time" }, moment(message.at)));
    }
    if (!away && belongTogether(before, message)) {
      this.rows.get(before.mid).classList.remove("last");
    } else {
      row.classList.add("first");
      const by = author(message);
      if (by) row.prepend(el("p", { class: "by" }, by));
    }
    $("log").append(row);
    if (message.from === "page") this.hideTyping();
    this.showStatus();
    this.showQuickReplies();
    if (this.follows) this.toBottom(isNew ? "smooth" : "auto");
    else $("newer").hidden = false;
  }

  row(message, isNew) {
    const mine = message.from === "person";
    const side = mine ? "mine" : "theirs";
    const human = author(message) ? " human" : "";
    const body = el("div", { class: "body" });
    for (const each of message.attachments ?? []) body.append(attachment(each));
    if (message.text) body.append(this.bubble(message));
    if (!mine) body.append(this.reactButton(message));
    const row = el("div", { class: `row ${side}${human} last${isNew ? " new" : ""}` });
    const sender = mine ? "You: " : `${$("page-name").textContent}: `;
    row.append(el("span", { class: "hidden" }, sender));
    if (!mine) row.append(el("img", { class: "face small", src: this.pageFace, alt: "", width: 28, height: 28 }));
    row.append(body);
    row.title = moment(message.at);
    return row;
  }

  bubble(message) {
    if (isBigEmoji(message.text)) return el("div", { class: "emoji" }, message.text);
    const tapped = message.postback || message.quick_reply ? " tapped" : "";
    return el("div", { class: `bubble${tapped}`, dir: "auto" }, ...linked(message.text));
  }

  reactButton(message) {
    const button = el("button", { type: "button", class: "react" });
    button.addEventListener("click", () => this.onReact(message));
    this.paintReaction(button, message);
    return button;
  }

  paintReaction(button, message) {
    button.textContent = message.reaction ?? "♡";
    button.classList.toggle("on", Boolean(message.reaction));
    button.setAttribute("aria-label", message.reaction ? "Take the reaction back" : "React with love");
    button.setAttribute("aria-pressed", String(Boolean(message.reaction)));
  }

  update({ mid, reported, reaction }) {
    const message = this.messages.find((each) => each.mid === mid);
    if (!message) return;
    if (reported !== undefined) message.reported = reported;
    if (reaction !== undefined) {
      message.reaction = reaction;
      const button = this.rows.get(mid)?.querySelector(".react");
      if (button) this.paintReaction(button, message);
    }
    this.showStatus();
  }

  state({ typing_fades_in_ms: fades, seen_at: seenAt, owner }) {
    this.owner = owner ?? "ours";
    this.seenAt = Math.max(this.seenAt, seenAt ?? 0);
    if (fades > 0) this.showTyping(fades);
    else this.hideTyping();
    this.showStatus();
  }

  showTyping(fadesInMs) {
    clearTimeout(this.fading);
    if ($("typing").hidden) $("announce").textContent = `${$("page-name").textContent} is typing`;
    $("typing").hidden = false;
    $("page-state").textContent = "typing…";
    this.fading = setTimeout(() => this.hideTyping(), fadesInMs);
    if (this.follows) this.toBottom("smooth");
  }

  hideTyping() {
    clearTimeout(this.fading);
    $("typing").hidden = true;
    $("announce").textContent = "";
    $("page-state").textContent = PAGE_STATES[this.owner ?? "ours"];
  }

  // Below one's own last message, as long as nothing came after it.
  showStatus() {
    this.status?.remove();
    const last = this.messages.at(-1);
    if (last?.from !== "person") return;
    const words = this.seenAt >= last.at ? "Seen" : last.reported ? "Delivered" : "Sent";
    this.status = el("p", { class: `status ${words.toLowerCase()}` }, words);
    this.rows.get(last.mid).after(this.status);
  }

  showQuickReplies() {
    const replies = this.messages.at(-1)?.quick_replies ?? [];
    const chips = replies.filter((reply) => reply.title).map((reply) => {
      const chip = el("button", { type: "button", class: "chip", dir: "auto" }, reply.title);
      chip.addEventListener("click", () => this.onQuickReply(reply));
      return chip;
    });
    $("chips").replaceChildren(...chips);
  }

  // Follow new messages until somebody scrolls up. Our own smooth scrolling only goes down; a box
  // that grew or whose pictures arrived moves by itself, and nobody scrolled.
  scrolled() {
    const box = $("scroll");
    const isNear = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_BOTTOM_PX;
    const size = `${box.scrollHeight} ${box.clientHeight}`;
    if (isNear) this.follows = true;
    else if (box.scrollTop < this.scrollTop && size === this.size) this.follows = false;
    this.scrollTop = box.scrollTop;
    this.size = size;
    if (isNear) $("newer").hidden = true;
  }

  toBottom(behavior = "auto") {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.follows = true;
    $("scroll").scrollTo({ top: $("scroll").scrollHeight, behavior: calm ? "auto" : behavior });
    $("newer").hidden = true;
  }
}
