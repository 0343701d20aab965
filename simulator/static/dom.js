// Small helpers. Texts of people only ever become text nodes.

export const $ = (id) => document.getElementById(id);

export function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") node.className = value;
    else if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const URL_PATTERN = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;

// The text with its web addresses made into links.
export function linked(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(URL_PATTERN)) {
    nodes.push(text.slice(at, match.index));
    nodes.push(el("a", { href: match[0], target: "_blank", rel: "noopener noreferrer" }, match[0]));
    at = match.index + match[0].length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s)+$/u;

// One to five emoji and nothing else are shown large.
export function isBigEmoji(text) {
  if (!EMOJI_ONLY.test(text) || /^[\d#*\s]+$/.test(text)) return false;
  return [...new Intl.Segmenter().segment(text.replace(/\s/g, ""))].length <= 5;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const DAY_MS = 86_400_000;

function dayOf(at) {
  return new Date(at).setHours(0, 0, 0, 0);
}

function dayName(at) {
  const days = Math.round((dayOf(Date.now()) - dayOf(at)) / DAY_MS);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(at) : date.format(at);
}

export const sameDay = (a, b) => dayOf(a) === dayOf(b);
export const moment = (at) => `${dayName(at)}, ${clock.format(at)}`;
export const shortMoment = (at) => (sameDay(at, Date.now()) ? clock.format(at) : dayName(at));
