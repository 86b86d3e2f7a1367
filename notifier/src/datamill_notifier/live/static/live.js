// Keeps a page up to date: events say that something happened, then the page is fetched again and
// those of its parts are put in that are not what they were. Without it the page works too.
"use strict";

(() => {
  const SOON_MS = 600; // after news: several come together
  const LATER_MS = 2000; // after progress, which comes every second of every build
  const ALWAYS_MS = 10000; // where no events come, as behind a proxy that holds them back
  const AGAIN_MS = 2000;
  const TYPING_MS = 200;
  const PATIENCE_MS = 15000;

  const connection = document.getElementById("connection");
  const filter = document.getElementById("q");
  const compare = document.getElementById("compare");
  const shown = new Map(); // the source of each part, as the server last gave it
  const picked = new Set(); // datasets to compare

  let events = null;
  let timer = null;
  let due = Infinity;
  let fetching = null;
  let lookAgain = false;
  let since = new Date();

  // --- what is said of the connection ---------------------------------------------------------

  function say(state) {
    if (state === "live") since = new Date();
    const texts = {
      live: "live",
      off: "connecting…",
      away: `can't reach the server; this is from ${since.toLocaleTimeString()}. Trying again…`,
    };
    connection.dataset.state = state;
    const said = connection.querySelector(".said");
    if (said.textContent !== texts[state]) said.textContent = texts[state];
    document.body.classList.toggle("old", state === "away");
  }

  // --- fetching the page and putting in what changed ------------------------------------------

  function schedule(delay) {
    const at = Date.now() + delay;
    if (at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(refresh, delay);
  }

  async function refresh() {
    clearTimeout(timer);
    due = Infinity;
    if (fetching) {
      lookAgain = true;
      return;
    }
    const asked = location.href;
    fetching = new AbortController();
    const patience = setTimeout(() => fetching.abort(), PATIENCE_MS);
    try {
      const answer = await fetch(asked, { signal: fetching.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const text = await answer.text();
      if (asked === location.href) show(new DOMParser().parseFromString(text, "text/html"));
      say("live");
    } catch {
      // The filter was changed meanwhile, or the server is away: either way it is asked again.
      if (asked === location.href) {
        say("away");
        schedule(AGAIN_MS);
      }
    } finally {
      clearTimeout(patience);
      fetching = null;
    }
    if (lookAgain) {
      lookAgain = false;
      refresh();
    }
  }

  function show(page) {
    if (page.documentElement.dataset.version !== document.documentElement.dataset.version) {
      location.reload(); // the server has another version of this script
      return;
    }
    for (const part of page.querySelectorAll("[data-live]")) put(part);
    pick();
  }

  function put(part) {
    const old = document.getElementById(part.id);
    const source = part.outerHTML;
    if (!old || shown.get(part.id) === source || isBeingSelected(old)) return;
    const open = new Set([...old.querySelectorAll("details[open]")].map((each) => each.id));
    const focused = old.contains(document.activeElement) ? markOf(document.activeElement) : null;
    shown.set(part.id, source);
    const fresh = document.adoptNode(part);
    for (const each of fresh.querySelectorAll("details")) each.open = open.has(each.id);
    old.replaceWith(fresh);
    if (focused) {
      const again = [...fresh.querySelectorAll("a, input, summary, button")];
      again.find((each) => markOf(each) === focused)?.focus({ preventScroll: true });
    }
  }

  function markOf(element) {
    return [element.tagName, element.getAttribute("href"), element.value, element.id].join(" ");
  }

  function isBeingSelected(element) {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  }

  // --- events ---------------------------------------------------------------------------------

  function listen() {
    const address = document.body.dataset.events;
    if (!address || events) return;
    events = new EventSource(address);
    events.onopen = () => {
      say("live");
      refresh(); // what happened before was told to nobody here
    };
    events.onerror = () => {
      say("away");
      // It comes again by itself after a broken connection, but not after an answer that is none.
      if (events && events.readyState === EventSource.CLOSED) {
        deafen();
        setTimeout(() => document.hidden || listen(), AGAIN_MS);
      }
    };
    for (const kind of ["accepted", "planned", "ready", "failed", "evicted"])
      events.addEventListener(kind, () => schedule(SOON_MS));
    events.addEventListener("shard", () => schedule(LATER_MS));
    events.addEventListener("progress", (event) => {
      advance(JSON.parse(event.data));
      schedule(LATER_MS);
    });
  }

  function deafen() {
    events?.close();
    events = null;
  }

  function advance(told) {
    const bar = document.querySelector(`progress[data-of="${CSS.escape(told.dataset_id)}"]`);
    if (bar && told.shards) bar.value = Math.max(bar.value, told.shards_done / told.shards);
  }

  // A browser has six connections to a server: tabs that nobody sees must not hold them.
  function seen() {
    if (document.hidden) {
      deafen();
    } else {
      listen();
      refresh();
    }
  }

  // --- the filter -----------------------------------------------------------------------------

  function filtered() {
    const address = new URL(location.href);
    if (filter.value) address.searchParams.set("q", filter.value);
    else address.searchParams.delete("q");
    history.replaceState(null, "", address);
    fetching?.abort();
    refresh();
  }

  if (filter) {
    let typing = null;
    filter.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(filtered, TYPING_MS);
    });
    filter.form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(typing);
      filtered();
    });
  }

  // --- picking two datasets -------------------------------------------------------------------

  function pick() {
    if (!compare) return;
    for (const box of document.querySelectorAll("input[name=id]")) box.checked = picked.has(box.value);
    compare.hidden = picked.size === 0;
    compare.querySelector("button").disabled = picked.size !== 2;
    compare.querySelector(".said").textContent =
      picked.size === 2 ? "Two datasets are picked." : "Pick one more to see which options differ.";
  }

  if (compare) {
    document.addEventListener("change", (event) => {
      const box = event.target;
      if (box.name !== "id") return;
      if (box.checked) picked.add(box.value);
      else picked.delete(box.value);
      if (picked.size > 2) picked.delete(picked.values().next().value);
      pick();
    });
    compare.addEventListener("submit", (event) => {
      // Those that were picked, also where the filter hides one of them just now.
      event.preventDefault();
      const address = new URL(compare.action);
      for (const id of picked) address.searchParams.append("id", id);
      location.assign(address);
    });
  }

  // --- copying --------------------------------------------------------------------------------

  for (const button of document.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) continue; // browsers have it for https and for this machine only
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), AGAIN_MS);
    });
  }

  // --- beginning ------------------------------------------------------------------------------

  document.documentElement.classList.add("scripted");
  for (const part of document.querySelectorAll("[data-live]")) shown.set(part.id, part.outerHTML);
  say("off");
  pick();
  if (document.body.dataset.events) {
    if (!document.hidden) listen();
    document.addEventListener("visibilitychange", seen);
    setInterval(() => document.hidden || schedule(0), ALWAYS_MS);
  } else {
    connection.hidden = true;
  }
})();
