// Pages of approvals in the browser: time left counts on, the queue keeps itself fresh, jobs are picked in one kind, and
// the time to read counts down. Works without; who may decide, and when, is for the server to say.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const SELECTED_MAX = 100;
  const FRESHEN_EVERY_MS = 300;

  // Time left, in the words of the server (`words/durations.py`).
  const loaded = new WeakMap();
  const words = (left) => {
    if (left <= 0) return "over";
    if (left < 120) return `${left} s`;
    const [large, small, units] = left < 3600 ? [60, 1, ["min", ""]] : left < 86400 ? [3600, 60, ["h", "min"]] : [86400, 3600, ["d", "h"]];
    const rest = small === 1 ? 0 : Math.floor((left % large) / small);
    return `${Math.floor(left / large)} ${units[0]}${rest ? ` ${rest} ${units[1]}` : ""}`;
  };
  const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const tick = () => {
    const now = performance.now();
    for (const node of $$("[data-left]")) {
      if (!loaded.has(node)) loaded.set(node, now);
      say(node, words(Math.floor(Number(node.dataset.left) - (now - loaded.get(node)) / 1000)));
    }
    for (const button of $$("[data-wait]")) countDown(button, now);
  };

  // The rule's time to read: the button says how long, and is pressed in vain until then.
  const countDown = (button, now) => {
    if (!loaded.has(button)) loaded.set(button, now);
    const left = Math.ceil(Number(button.dataset.wait) - (now - loaded.get(button)) / 1000);
    button.setAttribute("aria-disabled", String(left > 0));
    say($(".countdown", button), left > 0 ? ` in ${words(left)}` : "");
    if (left <= 0) {
      button.removeAttribute("aria-disabled");
      button.removeAttribute("data-wait");
      const hint = $("#wait-hint");
      if (hint) hint.textContent = "You can approve it now.";
    }
  };
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[aria-disabled='true']")) event.preventDefault();
  });

  // A form is sent once: the second click of a double click is no second vote.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("main form[method='post']")) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => $$("form[data-sent]").forEach((form) => form.removeAttribute("data-sent")));

  // Picking several: only of one kind, and not more than one act takes.
  const picks = () => $$("#queue-rows input[type=checkbox]");
  const fitPicks = () => {
    const chosen = picks().filter((box) => box.checked);
    const kind = chosen.length ? chosen[0].closest("[data-kind]").dataset.kind : null;
    for (const box of picks()) {
      const row = box.closest("[data-kind]");
      const fits = kind === null || (row.dataset.kind === kind && (box.checked || chosen.length < SELECTED_MAX));
      box.disabled = row.dataset.alone === "yes" || row.classList.contains("is-gone") || !fits;
    }
    const bar = $("#selected-bar");
    if (!bar) return;
    bar.hidden = picks().every((box) => box.disabled);
    bar.classList.toggle("is-open", chosen.length > 0);
    say($("#selected-count"), chosen.length ? `${chosen.length} selected` : "");
  };
  document.addEventListener("change", (event) => { if (event.target.matches("#queue-rows input")) fitPicks(); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.body.dataset.shortcuts === "off") return;
    const row = event.target instanceof Element ? event.target.closest("#queue-rows [data-row]") : null;
    const box = row && $("input[type=checkbox]", row);
    if (!box || box.disabled) return;
    box.checked = !box.checked;
    fitPicks();
  });

  // The queue. Somebody who points at it, has the focus in it, or has picked something is about to act: then rows stay
  // where they are, what changed changes in place, and what is new waits behind a button.
  const isBusy = (list) =>
    list.matches(":hover") || list.contains(document.activeElement) || picks().some((box) => box.checked);
  const byJob = (list) => new Map($$("[data-job]", list).map((row) => [row.dataset.job, row]));

  const refresh = (form, fresh) => {
    const list = $("#queue-rows");
    const [here, there] = [byJob(list), byJob(fresh)];
    const arrived = [...there.keys()].filter((job) => !here.has(job));
    if (!isBusy(list)) return replace(fresh, arrived);
    for (const [job, row] of here) {
      const now = there.get(job);
      if (now) {
        $(".row-live", row).replaceWith(document.importNode($(".row-live", now), true));
      } else if (!fresh.dataset.more) {
        row.classList.add("is-gone");
        $(".row-live", row).textContent = "no longer waits";
      }
    }
    fitPicks();
    announce(arrived.length);
  };

  const replace = (fresh, arrived = []) => {
    const list = document.importNode(fresh, true);
    $("#queue-rows").replaceWith(list);
    for (const job of arrived) $(`[data-job="${job}"]`, list).classList.add("is-new");
    say($("#queue-count"), count(list));
    announce(0);
    if (arrived.length) say($("#queue-news"), `${arrived.length} new`);
    fitPicks();
    tick();
  };
  const count = (list) =>
    `${$$("[data-job]", list).length}${list.dataset.more ? "+" : ""} waiting${list.dataset.filtered ? " with these filters" : ""}`;

  const announce = (arrived) => {
    const button = $("#arrivals");
    button.hidden = arrived === 0;
    say(button, arrived ? `${arrived} new: show` : "");
  };

  const fetchRows = async (form) => {
    const reply = await fetch(form.dataset.rows, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
    if (reply.redirected || reply.status === 401) { location.reload(); return null; }
    if (!reply.ok) return null;
    return new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("#queue-rows");
  };

  const watch = (form) => {
    let asked = false, running = false, shown = null;
    const freshen = async () => {
      if (running) { asked = true; return; }
      running = true;
      try {
        shown = await fetchRows(form);
        if (shown) refresh(form, shown);
      } catch { /* away for the moment: the stream comes back, and then it is asked again */ }
      running = false;
      if (asked) { asked = false; setTimeout(freshen, FRESHEN_EVERY_MS); }
    };
    const source = new EventSource(form.dataset.events);
    source.addEventListener("changed", freshen);
    source.addEventListener("open", () => { form.dataset.live = "yes"; freshen(); });
    source.addEventListener("error", () => {
      form.dataset.live = "";
      if (source.readyState === EventSource.CLOSED) freshen(); // for good: whoever is signed out is led to sign in
    });
    $("#arrivals").addEventListener("click", async () => {
      const fresh = await fetchRows(form);
      if (!fresh) return;
      const here = byJob($("#queue-rows"));
      const arrived = [...byJob(fresh).keys()].filter((job) => !here.has(job));
      replace(fresh, arrived);
      const first = $("#queue-rows .is-new a") || $("#queue-rows a");
      if (first) first.focus();
    });
    addEventListener("pagehide", () => source.close());
  };

  tick();
  setInterval(tick, 1000);
  fitPicks();
  const form = $("#queue-form");
  if (form) watch(form);
})();
