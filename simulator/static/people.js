// The list on the left: who one is.

import { $, el, shortMoment } from "./dom.js";

const SHOWN_AT_MOST = 200;

export const face = (page, psid) => `/avatars/${page}/${psid}.svg`;
export const fullName = (person) => `${person.first_name} ${person.last_name}`.trim();

export function preview(message) {
  const text = message.text || (message.attachments ? "Sent a picture" : "");
  return message.from === "person" ? `You: ${text}` : text;
}

export class People {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.all = [];
    this.chosen = null;
    $("filter").addEventListener("input", () => this.render());
  }

  show(page, people, chosen) {
    Object.assign(this, { page, all: people, chosen });
    this.render();
  }

  choose(psid) {
    this.chosen = psid;
    this.render();
  }

  // A new last message moves its person to the top.
  touch(psid, message) {
    const person = this.all.find((each) => each.psid === psid);
    if (!person) return;
    person.last_message = message;
    this.all = [person, ...this.all.filter((each) => each !== person)];
    this.render();
  }

  render() {
    const wanted = $("filter").value.trim().toLocaleLowerCase();
    const found = this.all.filter((person) => fullName(person).toLocaleLowerCase().includes(wanted));
    const hadFocus = document.activeElement?.dataset?.psid;
    $("people").replaceChildren(...found.slice(0, SHOWN_AT_MOST).map((person) => this.item(person)));
    const more = found.length - SHOWN_AT_MOST;
    $("no-people").textContent = more > 0 ? `And ${more} more: search by name.` : "Nobody by that name.";
    $("no-people").hidden = found.length > 0 && more <= 0;
    if (hadFocus) $("people").querySelector(`[data-psid="${hadFocus}"]`)?.focus();
  }

  item(person) {
    const last = person.last_message;
    const button = el(
      "button",
      { type: "button", class: "person", onclick: () => this.onChoose(person.psid) },
      el("img", { class: "face", src: face(this.page, person.psid), alt: "", width: 48, height: 48 }),
      el("span", { class: "name", dir: "auto" }, fullName(person)),
      el("span", { class: "when" }, last ? shortMoment(last.at) : ""),
      el("span", { class: "said", dir: "auto" }, last ? preview(last) : "Has not written yet"),
    );
    button.dataset.psid = person.psid;
    if (person.psid === this.chosen) button.setAttribute("aria-current", "true");
    return el("li", {}, button);
  }
}
