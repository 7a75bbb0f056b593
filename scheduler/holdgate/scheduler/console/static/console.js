// What pages do in the browser beside htmx: times in the reader's zone, shortcuts, copying. Works without; nothing here
// decides anything.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Times: the server writes UTC, the browser shows its own zone, in the same form. The title stays UTC.
  const two = "2-digit";
  const zoned = new Intl.DateTimeFormat("en-GB", {
    year: "numeric", month: two, day: two, hour: two, minute: two, second: two, hourCycle: "h23", timeZoneName: "short",
  });
  const shown = (at) => {
    const part = Object.fromEntries(zoned.formatToParts(at).map(({ type, value }) => [type, value]));
    return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
  };
  const localize = (root) => {
    for (const time of $$("time[data-local]", root)) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = shown(at);
      time.removeAttribute("data-local");
    }
  };

  // The menu is open where there is room for it, and closed on a phone.
  const wide = matchMedia("(min-width: 60rem)");
  const menu = $("[data-menu]");
  const fit = () => { if (menu) menu.open = wide.matches; };
  wide.addEventListener("change", fit);

  // Shortcuts. `g` and a letter goes to a page; letters in fields are letters. Somebody can switch them all off.
  let prefix = 0;
  const isTyping = (target) =>
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
  const rows = () => $$("main [data-row]");
  const step = (by) => {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))];
    const link = $("a[href]", next) || next;
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  };
  const open = (id) => { const dialog = document.getElementById(id); if (dialog && !dialog.open) dialog.showModal(); };
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if ($("dialog[open]")) return;
    const follows = Date.now() - prefix < 1500;
    prefix = 0;
    if (follows && /^[a-z]$/.test(event.key)) {
      const link = $(`[data-menu] a[data-key="${event.key}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    switch (event.key) {
      case "g": prefix = Date.now(); break;
      case "?": event.preventDefault(); open("keys-help"); break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "/": { const search = $("main [data-search]"); if (search) { event.preventDefault(); search.focus(); } break; }
      default: return;
    }
  };

  const onClick = (event) => {
    if (!(event.target instanceof Element)) return;
    const opener = event.target.closest("[data-open]");
    if (opener) open(opener.dataset.open);
    const copied = event.target.closest("[data-copy]");
    if (copied && navigator.clipboard) {
      navigator.clipboard.writeText(copied.dataset.copy).then(() => tell("Copied."), () => undefined);
    }
  };

  // A sentence in the live region, which readers of the screen hear.
  const tell = (text) => {
    const region = $("#notices");
    if (!region) return;
    const line = document.createElement("p");
    line.className = "notice";
    line.textContent = text;
    region.replaceChildren(line);
  };

  fit();
  localize(document);
  if (document.body.dataset.shortcuts !== "off") document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  document.addEventListener("htmx:afterSwap", (event) => localize(event.target));
  document.addEventListener("htmx:oobAfterSwap", (event) => localize(event.target));
})();
