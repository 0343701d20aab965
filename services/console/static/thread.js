// What scripts add to an open conversation: it stays fresh, keeps what is typed, and sends once.
"use strict";

/** What composer.js shares. It says `shown` and `listed`: what to do when a conversation is opened, and
    when messages were listed anew; and `pending`: the keys of what may be on its way. */
const Thread = { shown() {}, listed() {}, pending: () => [] };

(() => {
  const HOUR = 3600e3;
  const THRESHOLDS = [4 * HOUR, HOUR, HOUR / 6];
  const NEAR_END = 80; // pixels

  let open = null; // the conversation that is open

  const at = (id) => document.getElementById(id);
  const log = () => at("thread-log");
  const list = () => at("messages");
  const now = () => Date.now() + open.offset; // by the server's clock

  // What is said to the server

  /** Ask, and never follow to the sign-in page: whoever is signed out is told so. */
  async function ask(path, { body, background, base = open.base } = {}) {
    const headers = { "X-Requested-With": "inbox" };
    if (background) headers["X-Background"] = "1";
    const method = body ? "POST" : "GET";
    const response = await fetch(base + path, { method, body, headers, redirect: "manual", signal: AbortSignal.timeout(30e3) });
    if (response.type === "opaqueredirect" || response.status === 401) {
      throw new Refused("signed_out", "You are signed out. Sign in in another tab; what you typed is kept here.");
    }
    return response;
  }

  class Refused extends Error {
    constructor(code, words) {
      super(words);
      this.code = code;
    }
  }

  /** The answer to a change. Throws: Refused: it was not done; TypeError and others: nobody knows. */
  async function change(path, fields, base = open.base) {
    const response = await ask(path, { body: new URLSearchParams(fields), base });
    const answer = await response.json().catch(() => null);
    if (answer?.ok) return answer;
    if (response.status >= 500 || (response.ok && !answer)) throw new Error(answer?.words ?? "No answer came.");
    // a page instead of JSON: the conversation is gone, or is not for this account any more
    const gone = `It can't be done any more (${response.status}). Load this page again to see why.`;
    throw new Refused(answer?.code, answer?.words ?? gone);
  }

  async function fragment(path, background) {
    const response = await ask(path, { background });
    if (!response.ok) throw new Error(response.status);
    return new DOMParser().parseFromString(await response.text(), "text/html");
  }

  // Setting up

  function setUp() {
    clearTimeout(open?.timer);
    open?.watcher.disconnect();
    open?.resized.disconnect();
    const foot = at("thread-foot");
    open = null;
    if (!foot) return;
    const id = foot.dataset.conversation;
    open = { id, base: `/inbox/${id}`, account: foot.dataset.account, fresh: 0, busy: false, seen: foot.dataset.newest, asked: 0, shows: 0 };
    open.watcher = new IntersectionObserver((found) => found.some((each) => each.isIntersecting) && loadEarlier(), { root: log() });
    // what grows below takes nothing away of the latest message
    open.resized = new ResizeObserver(() => open?.atEnd && isLatest() && toEnd());
    open.resized.observe(log());
    clockOf(foot);
    for (const each of at("thread").querySelectorAll("[data-unscripted]")) each.hidden = true;
    localise(list());
    Thread.listed();
    if (isLatest()) toEnd();
    watchEarlier();
    Thread.shown();
    tick();
  }

  function clockOf(foot) {
    open.offset = Date.parse(foot.dataset.now) - Date.now();
  }

  const isLatest = () => log().dataset.state === "latest";
  const isAtEnd = () => log().scrollHeight - log().scrollTop - log().clientHeight < NEAR_END;

  function toEnd() {
    log().scrollTop = log().scrollHeight;
    open.atEnd = true;
    noteNew(0);
  }

  /** Times and days of the viewer's own zone. */
  function localise(root) {
    for (const each of root.querySelectorAll("time[data-clock]")) {
      const moment = new Date(each.dateTime);
      each.textContent = moment.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
      each.title = moment.toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" });
    }
    days();
  }

  function days() {
    for (const each of list().querySelectorAll(".day")) each.remove();
    let before = "";
    for (const each of list().querySelectorAll("[data-at]")) {
      const moment = new Date(each.dataset.at);
      const day = moment.toDateString();
      if (day === before) continue;
      before = day;
      const line = document.createElement("li");
      line.className = "day";
      line.append(document.createElement("span"));
      line.firstChild.textContent = dayWords(moment);
      each.before(line);
    }
  }

  function dayWords(moment) {
    const midnight = new Date(now());
    midnight.setHours(0, 0, 0, 0);
    const ago = Math.ceil((midnight - moment) / (24 * HOUR));
    if (ago <= 0) return "Today";
    if (ago === 1) return "Yesterday";
    const year = moment.getFullYear() === midnight.getFullYear() ? undefined : "numeric";
    return moment.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year });
  }

  // Keeping fresh

  /** Show what is there now. Returns when it is shown, be it by a later look. */
  function refresh({ background = false, whole = false } = {}) {
    if (!open) return Promise.resolve();
    const mine = open;
    mine.whole ||= whole;
    if (whole) mine.shows += 1; // what was searched for before is not wanted any more
    mine.latest = look(mine, ++mine.asked, background);
    return mine.latest.then(() => mine.latest);
  }

  async function look(mine, asked, background) {
    let page;
    const keys = Thread.pending();
    try {
      page = await fragment(`/thread?pending=${keys.join(",")}`, background);
    } catch (error) {
      if (open === mine) stale(true, error);
      return;
    }
    if (open !== mine || asked !== mine.asked) return; // another one is open, or asked for later
    // what was sent meanwhile may be in this answer, which can't tell that it is the same
    if (Thread.pending().some((each) => !keys.includes(each))) return look(mine, asked, background);
    const { whole } = mine;
    mine.whole = false;
    stale(false);
    refreshFoot(page);
    if (whole) {
      log().replaceChildren(...page.getElementById("thread-log").childNodes);
      state("latest");
      shownAnew();
      toEnd();
    } else if (isLatest()) {
      refreshMessages(page);
    }
    seen();
  }

  function stale(is, error) {
    at("thread-stale").hidden = !is;
    if (error instanceof Refused) problem(error.message);
  }

  function refreshFoot(page) {
    const foot = page.getElementById("thread-foot");
    Object.assign(at("thread-foot").dataset, foot.dataset);
    clockOf(foot);
    const bar = page.getElementById("thread-bar");
    if (bar.dataset.revision === at("thread-bar").dataset.revision) {
      at("thread-window").replaceWith(page.getElementById("thread-window"));
    } else exchangeBar(bar);
    const strips = page.getElementById("thread-strips");
    if (strips.dataset.revision !== at("thread-strips").dataset.revision) {
      exchangeAlike(at("thread-strips"), strips);
      enliven(strips);
    }
    lock(page.getElementById("composer-fields").disabled, page.getElementById("composer-text").placeholder);
    at("composer").dataset.limit = page.getElementById("composer").dataset.limit;
    // whom it is with: names come a moment after the first message
    for (const id of ["thread-log", "composer-text"]) {
      at(id).setAttribute("aria-label", page.getElementById(id).getAttribute("aria-label"));
    }
    at("composer-fields").firstElementChild.replaceWith(page.getElementById("composer-fields").firstElementChild);
    tick();
  }

  /** Where the same one has it as before, what is being chosen stays as it is. */
  function exchangeBar(bar) {
    const old = at("thread-bar");
    if (bar.dataset.whose !== old.dataset.whose) {
      const { activeElement } = document;
      old.replaceWith(bar);
      enliven(bar);
      // what was being chosen is of no use any more, and its keys must not press a button
      if (old.contains(activeElement)) (isTyping(activeElement) ? log() : bar.querySelector("[data-take]") ?? log()).focus();
      return;
    }
    if (old.querySelector("details.pop[open]")) bar.querySelector("details.pop").open = true;
    putBack([...fieldsOf(old)].filter(isChanged), bar);
    exchangeAlike(old, bar);
    enliven(bar);
  }

  function lock(isLocked, placeholder) {
    const fields = at("composer-fields");
    if (fields.disabled !== isLocked) say(isLocked ? "Nobody can write here any more." : "You can write here again.");
    at("composer-text").placeholder = placeholder;
    shut(isLocked);
  }

  function shut(isShut) {
    const fields = at("composer-fields");
    const hadFocus = fields.contains(document.activeElement);
    fields.disabled = isShut;
    if (isShut && hadFocus) log().focus();
  }

  /** Exchange what reads otherwise, add what is new; all else, and what is open in it, stays. */
  function refreshMessages(page) {
    const fresh = [...page.getElementById("messages").children].filter((each) => !each.matches(".day"));
    const had = new Map([...list().children].map((each) => [each.dataset.key, each]));
    const wasAtEnd = open.atEnd ?? isAtEnd();
    const overlaps = fresh.some((each) => each.dataset.at && had.has(each.dataset.key));
    if (!overlaps) {
      list().replaceWith(page.getElementById("messages"));
      at("thread-nothing")?.remove();
      shownAnew();
      if (wasAtEnd || !had.size) toEnd();
      return;
    }
    const keys = new Set(fresh.map((each) => each.dataset.key));
    // by their order: moments are told to the second, and what came earlier in the same one stays
    const places = [...list().children];
    const since = places.findIndex((each) => each.dataset.at && keys.has(each.dataset.key));
    for (const each of places.slice(since)) {
      if (each.dataset.at && !keys.has(each.dataset.key)) each.remove();
    }
    if (!keys.has("silence")) had.get("silence")?.remove();
    let before = null;
    let added = 0;
    for (const each of fresh) {
      if (each.matches(".earlier")) continue;
      const old = had.get(each.dataset.key);
      let now_ = old;
      if (!old || old.dataset.revision !== each.dataset.revision) {
        now_ = document.importNode(each, true);
        if (old?.querySelector(".why[open]")) now_.querySelector(".why")?.setAttribute("open", "");
        const hadFocus = old?.contains(document.activeElement);
        enliven(now_);
        if (old) old.replaceWith(now_);
        else if (before) before.after(now_);
        else place(now_);
        if (hadFocus) log().focus();
        if (!old && each.matches(".of-person")) added += 1;
      }
      before = now_;
    }
    Thread.listed();
    localise(list());
    if (wasAtEnd) toEnd();
    else noteNew(open.fresh + added);
  }

  function place(node) {
    const later = [...list().children].find((each) => each.dataset.at > node.dataset.at);
    later ? later.before(node) : list().append(node);
  }

  function shownAnew() {
    enliven(log());
    Thread.listed();
    localise(list());
    watchEarlier();
  }

  function noteNew(count) {
    open.fresh = count;
    const button = at("thread-new");
    button.hidden = count === 0;
    button.querySelector("span").textContent = `${count} new message${count === 1 ? "" : "s"}`;
  }

  function seen() {
    const newest = at("thread-foot").dataset.newest;
    if (!newest || newest === open.seen || document.hidden || !isLatest()) return;
    open.seen = newest;
    ask("/seen", { body: new URLSearchParams({ at: newest }), background: true }).catch(() => {
      open.seen = null;
    });
  }

  // Earlier messages, and searching

  function watchEarlier() {
    open.watcher.disconnect();
    const earlier = list().querySelector(".earlier");
    if (earlier) open.watcher.observe(earlier);
  }

  async function loadEarlier() {
    const link = list().querySelector("[data-earlier-link]");
    if (!link || open.busy) return;
    const mine = open;
    mine.busy = true;
    try {
      const page = await fragment(`/messages${new URL(link.href).search}`);
      if (open !== mine || !link.isConnected) return;
      const box = log();
      const [height, top] = [box.scrollHeight, box.scrollTop];
      box.ariaLive = "off"; // these are old: nobody wants them read out
      link.closest("li").remove();
      const nodes = [...page.getElementById("messages").children].filter((each) => each.dataset.key !== "silence");
      list().prepend(...nodes);
      nodes.forEach(enliven);
      localise(list());
      box.scrollTop = top + box.scrollHeight - height;
      setTimeout(() => (box.ariaLive = "polite"), 500);
      watchEarlier();
    } catch (error) {
      if (open === mine) stale(true, error);
    } finally {
      mine.busy = false;
    }
  }

  async function showOther(query, whenThere) {
    const mine = open;
    const shows = ++mine.shows;
    mine.whole = false;
    try {
      const page = await fragment(`/messages?${new URLSearchParams(query)}`);
      if (open !== mine || shows !== mine.shows) return; // something else is shown by now
      log().replaceChildren(...page.body.childNodes);
      state("other");
      shownAnew();
      log().scrollTop = log().scrollHeight;
      whenThere?.();
    } catch (error) {
      if (open === mine) stale(true, error);
    }
  }

  function state(value) {
    log().dataset.state = value;
    at("thread-latest").hidden = value === "latest";
    noteNew(0);
  }

  function find(word) {
    if (!word) return refresh({ whole: true });
    return showOther({ find: word }, () => {
      const count = list().querySelectorAll(".message").length;
      say(count ? `${count} messages found` : "Nothing found");
    });
  }

  // Saying

  function say(words) {
    at("thread-said").textContent = words;
  }

  function problem(words) {
    at("thread-problem")?.remove();
    const note = document.createElement("div");
    note.id = "thread-problem";
    note.className = "thread-problem";
    note.innerHTML = '<div class="note note-bad" role="alert"><div></div></div>';
    note.querySelector("div > div").textContent = words;
    at("thread-foot").prepend(note);
  }

  // Clocks

  function span(ms) {
    const minutes = Math.floor(ms / 60e3);
    if (minutes < 1) return "less than 1 min";
    const [days_, hours, rest] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
    if (days_) return hours ? `${days_} d ${hours} h` : `${days_} d`;
    if (hours) return rest ? `${hours} h ${rest} min` : `${hours} h`;
    return `${rest} min`;
  }

  function tick() {
    clearTimeout(open.timer);
    const waits = [tickWindow(), tickReturn()].filter((each) => each > 0);
    open.timer = setTimeout(tick, Math.min(20e3, ...waits.map((each) => each + 100)));
  }

  /** Returns how long it is until the window changes by itself. */
  function tickWindow() {
    const mark = at("thread-window");
    const { kind, until } = mark.dataset;
    if (kind !== "open" && kind !== "human_only") return 0;
    const left = Date.parse(until) - now();
    const time = mark.querySelector("time");
    if (left <= 0) {
      if (open.closed !== until) {
        open.closed = until;
        say(kind === "open" ? "The 24 hours are over." : "The reply window is closed.");
        if (kind === "human_only") {
          time.textContent = "Reply window closed";
          mark.className = "window window-closed";
          shut(true);
        }
        refresh({ background: true });
      }
      return 0;
    }
    time.textContent = kind === "open" ? `Reply window: ${span(left)}` : `Human reply only: ${span(left)} left`;
    mark.classList.toggle("is-soon", left < 4 * HOUR);
    const passed = THRESHOLDS.filter((each) => left <= each).length;
    if (open.passed !== undefined && passed > open.passed) say(`${time.textContent}.`);
    open.passed = passed;
    return left;
  }

  function tickReturn() {
    const mark = at("thread-bar").querySelector("[data-until]:not(#thread-window)");
    if (!mark) return 0;
    const left = Date.parse(mark.dataset.until) - now();
    if (left <= 0) {
      mark.textContent = "assistant paused, returns now";
      if (open.returned !== mark.dataset.until) {
        open.returned = mark.dataset.until;
        setTimeout(() => refresh({ background: true }), 1500);
      }
      return 0;
    }
    mark.textContent = `assistant paused, returns in ${span(left)}`;
    return left;
  }

  // What somebody does

  async function act(form) {
    const button = form.querySelector("[type=submit]");
    const hadFocus = form.contains(document.activeElement);
    const mine = open;
    const here = () => open === mine; // else another one has been opened meanwhile
    button.disabled = true;
    at("thread-problem")?.remove();
    try {
      const fields = new FormData(form);
      const answer = await change(new URL(form.action).pathname.slice(open.base.length), fields);
      if (!here()) return;
      (at(form.id) ?? form).closest("details.pop")?.removeAttribute("open"); // news may have exchanged it
      say(answer.words);
    } catch (error) {
      const unsure = "No answer came. Look again in a moment; doing it twice does no harm.";
      if (here()) problem(error instanceof Refused ? error.message : unsure);
    } finally {
      button.disabled = false;
      await refresh();
      const isLost = hadFocus && document.activeElement === document.body;
      const successor = at(form.id)?.closest("details.pop")?.querySelector("summary") ?? at("thread-bar").querySelector("[data-take]");
      if (isLost && here()) ((!form.isConnected && successor) || log()).focus();
    }
  }

  const inThread = (event) => open && event.target.closest?.("#thread");

  document.addEventListener("submit", (event) => {
    if (!inThread(event)) return;
    const form = event.target;
    if (form.matches("[data-does]")) {
      event.preventDefault();
      act(form);
    } else if (form.matches(".thread-find")) {
      event.preventDefault();
      find(at("thread-find").value.trim());
    }
  });

  document.addEventListener("click", (event) => {
    if (!inThread(event)) return;
    for (const each of document.querySelectorAll("details.pop[open]")) {
      if (!each.contains(event.target)) each.open = false;
    }
    const target = event.target.closest("a, button");
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (target.id === "thread-new") toEnd();
    else if (target.matches("[data-earlier-link]")) loadEarlier();
    else if (target.matches("[data-latest]")) {
      at("thread-find").value = "";
      refresh({ whole: true });
    } else if (target.matches("[data-show-at]")) showOther({ before: new URL(target.href).searchParams.get("before") });
    else if (target.matches("[data-refresh]")) refresh({ whole: true });
    else return;
    event.preventDefault();
  });

  document.addEventListener("input", (event) => {
    if (!inThread(event)) return;
    if (event.target.id === "thread-find" && !event.target.value && !isLatest()) refresh({ whole: true });
  });

  document.addEventListener("keydown", (event) => {
    if (!open) return;
    if (event.key === "Escape") {
      const pop = event.target.closest?.("details.pop[open]");
      if (pop) {
        pop.open = false;
        pop.querySelector("summary").focus();
      }
      return;
    }
    if (!isShortcut(event) || at("thread").closest("[inert]")) return; // another one is being opened
    if (event.key === "r") at("composer-text").focus();
    else if (event.key === "t") at("thread-bar").querySelector("[data-take]")?.click();
    else return;
    event.preventDefault();
  });

  document.addEventListener("toggle", (event) => {
    if (inThread(event) && event.target.open && event.target.matches(".why, .sure")) {
      event.target.lastElementChild.scrollIntoView({ block: "nearest" });
    }
  }, { capture: true });

  document.addEventListener("scroll", (event) => {
    if (!open || event.target !== log()) return;
    open.atEnd = isAtEnd();
    if (open.fresh && open.atEnd) noteNew(0);
  }, { capture: true, passive: true });

  document.addEventListener("visibilitychange", () => {
    if (open && !document.hidden) refresh({ background: true });
  });

  document.addEventListener("inbox-changed", (event) => {
    const changed = event.detail?.conversations;
    if (open && (!changed || changed.includes(open.id))) refresh({ background: true });
  });

  Object.assign(Thread, { at, list, now, change, Refused, say, problem, refresh, toEnd, isLatest, current: () => open });

  document.addEventListener("thread-shown", setUp);
  document.addEventListener("DOMContentLoaded", setUp); // when composer.js is there, too
})();
