// Hears what changes while a page is open: one stream for all tabs of a browser, and where no stream
// comes through, a look every 10 seconds. Tells pages by events on `document`: `inbox-changed` and
// `live-state`. Hints only name conversations: what changed, each page asks for itself.
"use strict";

(() => {
  const POLL_MS = 10_000;
  const HELLO_WITHIN_MS = 5_000; // else something on the way holds the stream back
  const SILENT_MS = 25_000; // the server says something every 10 seconds
  const GRACE_MS = 3_000; // nobody needs to know of a stream that is back at once
  const LONGEST_PAUSE_MS = 60_000;
  const SETTLED_MS = [1_000, 5_000]; // what was on its way when we began to listen, is there by then
  const MERGE_MS = 150;
  const REFRESH_MS = 60_000; // what no record tells of, and words like "2 min ago"
  const KNOWN_FOR_MS = 120_000; // going from page to page misses nobody who asks meanwhile

  const channel = "BroadcastChannel" in window ? new BroadcastChannel("live") : null;
  let state = ""; // live, polling, offline, ended
  let leads = false;
  let source = null;
  let saidAt = 0; // when the stream said something last
  let heardAt = Date.now(); // and the tab that has it
  let pauseMs = 1_000;
  let again = 0;
  let grace = 0;
  let counts = null;

  const tellTabs = (message) => channel?.postMessage(message);
  const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

  // What pages are told: at once, and then not more often than they can follow.
  const changed = new Set();
  let anything = false;
  let merging = 0;

  function change(conversations) {
    if (state === "ended") return; // there is nothing to be had any more
    if (conversations === null) anything = true;
    for (const each of conversations ?? []) changed.add(each);
    if (!merging) flush();
  }

  function flush() {
    merging = 0;
    if (!anything && changed.size === 0) return;
    const conversations = anything ? null : [...changed];
    anything = false;
    changed.clear();
    merging = setTimeout(flush, MERGE_MS);
    dispatch("inbox-changed", { conversations });
  }

  /** Nothing is missed between what the page shows and the stream's first word. */
  function catchUp() {
    change(null);
    for (const later of SETTLED_MS) setTimeout(() => change(null), later);
  }

  function become(next) {
    if (state === "ended" || state === next) return;
    const was = state;
    state = next;
    clearTimeout(grace);
    grace = 0;
    for (const part of document.querySelectorAll("[data-live-state]")) {
      part.hidden = false;
      part.dataset.state = state;
    }
    const banner = document.querySelector("[data-live-banner]");
    for (const part of banner?.children ?? []) {
      // whose network never lets a stream through needs no banner: the words in the frame say it
      part.hidden = part.dataset.when !== state || (state === "polling" && was !== "live");
    }
    dispatch("live-state", { state });
  }

  function isHeard(heard) {
    if (heard) {
      clearTimeout(grace); // back within the time that nobody needs to know of
      grace = 0;
      become("live");
      catchUp();
    } else {
      waitOrPoll();
    }
  }

  /** Say that live updates are gone, unless they are back in a moment. */
  function waitOrPoll() {
    if (grace || state === "polling" || state === "offline") return;
    grace = setTimeout(() => {
      become("polling");
      poll();
    }, GRACE_MS);
  }

  // The stream, in one tab of the browser.
  function connect() {
    clearTimeout(again);
    source?.close();
    if (state === "ended" || !navigator.onLine) return;
    source = new EventSource("/live");
    saidAt = Date.now() - SILENT_MS + HELLO_WITHIN_MS;
    const on = (name, hear) =>
      source.addEventListener(name, (event) => {
        saidAt = Date.now();
        hear(JSON.parse(event.data));
      });
    on("hello", (said) => relay({ kind: "heard", heard: said.heard }));
    on("state", (said) => relay({ kind: "heard", heard: said.heard }));
    on("changed", (said) => {
      relay({ kind: "changed", conversations: said.conversations });
      if (said.needs_human.length > 0) consider(said.needs_human, true);
    });
    on("counts", (said) => relay({ kind: "counts", counts: said }));
    on("beat", () => {
      pauseMs = 1_000;
      tellTabs({ kind: "beat" });
    });
    source.onerror = lose;
  }

  function lose() {
    source?.close();
    source = null;
    relay({ kind: "heard", heard: false });
    clearTimeout(again);
    // not all browsers at once, when a server comes back
    again = setTimeout(async () => {
      await look(); // also tells whether we are signed in still
      connect();
    }, pauseMs * (0.5 + Math.random()));
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }

  /** To this tab and all others. */
  function relay(message) {
    tellTabs(message);
    hear(message);
  }

  function hear(message) {
    heardAt = Date.now();
    if (message.kind === "heard") {
      isHeard(message.heard);
      if (message.heard && leads) look();
    } else if (message.kind === "changed") {
      change(message.conversations);
    } else if (message.kind === "counts") {
      count(message.counts);
    } else if (message.kind === "asking" && leads) {
      consider(message.asking);
    } else if (message.kind === "who" && leads) {
      if (counts) tellTabs({ kind: "counts", counts });
      tellTabs({ kind: "heard", heard: state === "live" });
    }
  }

  // Looking by itself.
  async function poll() {
    if (document.hidden || state === "live" || state === "ended") return;
    if (await look()) change(null);
  }

  /** Ask for numbers and who wants a human. Whether the server could be reached. */
  async function look() {
    let answer;
    let news = null;
    try {
      answer = await fetch("/live/news", {
        headers: { "X-Background": "1" },
        redirect: "manual",
        signal: AbortSignal.timeout(8_000),
      });
      if (answer.ok) news = await answer.json(); // may be cut off, too
    } catch {
      if (state !== "live") become("offline");
      return false;
    }
    if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
      source?.close();
      become("ended");
      return false;
    }
    if (state === "offline") become("polling");
    if (!news) return true;
    if (news.unread !== null) {
      relay({ kind: "counts", counts: { unread: news.unread, needs_human: news.needs_human } });
      if (leads) consider(news.asking);
      else tellTabs({ kind: "asking", asking: news.asking });
    }
    return true;
  }

  // Numbers in the frame and in the title.
  function count(said) {
    counts = said;
    const shown = said.unread >= 1000 ? "999+" : String(said.unread);
    for (const badge of document.querySelectorAll("[data-unread]")) {
      badge.querySelector("[data-number]").textContent = shown;
      badge.hidden = said.unread === 0;
    }
    const bare = document.title.replace(/^\(\d+\+?\) /, "");
    const title = said.unread > 0 ? `(${shown}) ${bare}` : bare;
    if (title !== document.title) document.title = title;
  }

  // Who asks for a human: told once in a browser, by the tab that has the stream. What the stream
  // says has just happened; of what a look finds, what was there before anybody listened is no news.
  function consider(asking, isNews = false) {
    let stale = true;
    let known = [];
    try {
      const kept = JSON.parse(stored("live-known", "null"));
      if (kept) [known, stale] = [kept.keys, Date.now() - kept.at > KNOWN_FOR_MS];
    } catch {
      // somebody else's, or broken: as if there were none
    }
    const fresh = asking.filter((each) => !known.includes(`${each.id}@${each.at}`));
    const keys = [...known, ...fresh.map((each) => `${each.id}@${each.at}`)].slice(-300);
    store("live-known", JSON.stringify({ at: Date.now(), keys }));
    if (fresh.length > 0 && (isNews || !stale)) tell(fresh);
  }

  function tell(fresh) {
    if (stored("live-sound", "off") === "on") chime();
    if (stored("live-notify", "off") !== "on" || !mayNotify()) return;
    const one = fresh.length === 1;
    const where = one ? `/inbox/${encodeURIComponent(fresh[0].id)}` : "/inbox?tab=needs_human";
    try {
      const note = new Notification(one ? "Someone asks for a human" : `${fresh.length} people ask for a human`, {
        body: one ? "Open the conversation" : "Open the inbox",
        tag: one ? fresh[0].id : "asking",
      });
      note.onclick = () => {
        note.close();
        window.focus();
        // elsewhere in the console something may be half typed; the inbox keeps its drafts
        if (location.pathname.startsWith("/inbox")) location.assign(where);
        else window.open(where, "_blank", "noopener");
      };
    } catch {
      // phones want a service worker for this: there the badge has to do
    }
  }

  const mayNotify = () => "Notification" in window && Notification.permission === "granted";

  let audio = null;

  function chime() {
    audio ??= new AudioContext();
    audio.resume().catch(() => {}); // browsers want a click on the page first
    for (const [index, frequency] of [660, 880].entries()) {
      const at = audio.currentTime + index * 0.18;
      const [tone, volume] = [audio.createOscillator(), audio.createGain()];
      tone.frequency.value = frequency;
      volume.gain.setValueAtTime(0.0001, at);
      volume.gain.exponentialRampToValueAtTime(0.12, at + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.32);
    }
  }

  // The menu "Notify me".
  function showChoices() {
    for (const box of document.querySelectorAll("[data-live-choice]")) {
      const wants = stored(`live-${box.dataset.liveChoice}`, "off") === "on";
      box.checked = wants && (box.dataset.liveChoice !== "notify" || mayNotify());
    }
    const refused = "Notification" in window ? Notification.permission === "denied" : true;
    for (const words of document.querySelectorAll("[data-notify-refused]")) words.hidden = !refused;
  }

  document.addEventListener("change", async (event) => {
    const choice = event.target.dataset?.liveChoice;
    if (!choice) return;
    store(`live-${choice}`, event.target.checked ? "on" : "off");
    if (choice === "notify" && event.target.checked && "Notification" in window) {
      await Notification.requestPermission();
    }
    if (choice === "sound" && event.target.checked) chime();
    showChoices();
  });
  document.addEventListener("toggle", (event) => event.target.matches?.(".notify") && showChoices(), true);

  document.addEventListener("thread-shown", () => setTimeout(() => counts && count(counts)));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });
  window.addEventListener("offline", () => {
    source?.close();
    clearTimeout(again);
    become("offline");
  });
  window.addEventListener("online", () => {
    pauseMs = 1_000;
    become("polling");
    poll();
    if (leads) connect();
  });
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && leads) connect();
  });
  channel?.addEventListener("message", (event) => hear(event.data));

  setInterval(poll, POLL_MS);
  setInterval(() => {
    if (source && Date.now() - saidAt > SILENT_MS) lose();
    // browsers put tabs to sleep that are out of sight: whoever looks takes the stream over
    if (!leads && !document.hidden && state === "live" && Date.now() - heardAt > SILENT_MS) queue({ steal: true });
  }, 1_000);
  setInterval(() => {
    if (state !== "live") return;
    if (leads) look(); // out of sight as well: that is when notifications count
    if (!document.hidden) change(null);
  }, REFRESH_MS);

  const lead = () => {
    leads = true;
    connect();
    return new Promise(() => {}); // until the tab is closed: then another one leads
  };
  function queue(options) {
    heardAt = Date.now();
    navigator.locks.request("live", options, lead).catch(() => {
      leads = false; // somebody else does
      source?.close();
      source = null;
      clearTimeout(again);
      queue({});
    });
  }

  waitOrPoll();
  showChoices();
  if (navigator.onLine === false) become("offline");
  if (channel && navigator.locks) {
    queue({});
    tellTabs({ kind: "who" });
  } else {
    lead();
  }
})();
