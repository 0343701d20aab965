// What the Page's Messenger profile shows: greeting, ice breakers or Get Started, and the menu.

import { $, el } from "./dom.js";

// The entry for the browser's language, else the default one.
function localized(entries) {
  const wanted = navigator.language.replace("-", "_");
  return entries?.find((each) => each.locale === wanted) ?? entries?.find((each) => each.locale === "default");
}

function greetingFor(text, person) {
  const names = {
    user_first_name: person?.first_name ?? "",
    user_last_name: person?.last_name ?? "",
    user_full_name: [person?.first_name, person?.last_name].filter(Boolean).join(" "),
  };
  return text.replace(/\{\{(\w+)\}\}/g, (whole, name) => names[name] ?? whole);
}

function questionsOf(iceBreakers) {
  if (!iceBreakers?.length) return [];
  return iceBreakers[0].question ? iceBreakers : localized(iceBreakers)?.call_to_actions ?? [];
}

export class Profile {
  constructor(onTap) {
    Object.assign(this, { onTap, profile: {}, person: null, isNew: false });
    $("get-started").addEventListener("click", () => onTap(this.profile.get_started.payload, "Get Started"));
  }

  show(changes) {
    Object.assign(this, changes);
    const { profile, isNew } = this;
    const greeting = localized(profile.greeting);
    $("greeting").hidden = !greeting;
    $("greeting").textContent = greeting ? greetingFor(greeting.text, this.person) : "";
    const questions = questionsOf(profile.ice_breakers); // they take the place of Get Started
    $("start").hidden = !isNew || !(questions.length || profile.get_started);
    $("start-hint").hidden = $("get-started").hidden = questions.length > 0;
    $("questions").replaceChildren(...questions.map((each) => this.button(each.question, each.payload)));
    this.showMenu(localized(profile.persistent_menu));
  }

  showMenu(menu) {
    $("menu").hidden = !menu || !this.person;
    const items = (menu?.call_to_actions ?? []).map((each) =>
      each.type === "web_url"
        ? el("a", { class: "item", href: each.url, target: "_blank", rel: "noopener noreferrer" }, each.title)
        : this.button(each.title, each.payload, "item"));
    $("menu-items").replaceChildren(...items);
    $("text").disabled = Boolean(menu?.composer_input_disabled);
  }

  button(title, payload, name = "secondary") {
    const tap = () => {
      $("menu").open = false;
      this.onTap(payload, title);
    };
    const button = el("button", { type: "button", class: name, dir: "auto" }, title);
    button.addEventListener("click", tap);
    return button;
  }
}
