// The console's own script: the keyboard, buttons that copy, selections, and times in the browser's own zone. Pages work
// without it.
"use strict";

(() => {
  const visible = (e) => e.offsetParent !== null;
  const typing = (e) => e.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName) && e.type !== "checkbox";
  const rows = () => [...document.querySelectorAll("[data-row]")].filter(visible);
  let going = 0;

  function move(step) {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((r) => r.contains(document.activeElement));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    (next.querySelector("a[href], button.act") || next).focus();
    next.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("[popover]:popover-open")) return;
    if (going && Date.now() - going < 1500) {
      going = 0;
      const link = document.querySelector(`a[data-go="${CSS.escape(event.key)}"]`);
      if (link) link.click();
      return;
    }
    const named = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (named && visible(named)) {
      event.preventDefault();
      if (named.tagName === "INPUT") named.focus(); else named.click();
      return;
    }
    switch (event.key) {
      case "g": going = Date.now(); break;
      case "j": move(1); break;
      case "k": move(-1); break;
      case "x": {
        const row = document.activeElement.closest("[data-row]");
        const box = row && row.querySelector("input[type=checkbox]");
        if (box) box.click();
        break;
      }
      case "?": document.getElementById("keys").showPopover(); break;
      default: return;
    }
    event.preventDefault();
  });

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (!copy) return;
    await navigator.clipboard.writeText(copy.dataset.copy);
    const before = copy.textContent;
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = before; }, 1500);
  });

  // A box with data-all selects every row of its form. The form's [data-selected] shows how many are selected, and its
  // [data-needs-selection] work only if some are.
  function countSelected(form) {
    const boxes = [...form.querySelectorAll("[data-row] input[type=checkbox]")];
    const selected = boxes.filter((b) => b.checked).length;
    const all = form.querySelector("[data-all]");
    if (all) {
      all.checked = boxes.length > 0 && selected === boxes.length;
      all.indeterminate = selected > 0 && selected < boxes.length;
    }
    form.querySelectorAll("[data-selected]").forEach((e) => { e.textContent = selected; });
    form.querySelectorAll("[data-needs-selection]").forEach((e) => { e.hidden = selected === 0; });
  }

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (!form) return;
    if (event.target.matches("[data-all]")) {
      form.querySelectorAll("[data-row] input[type=checkbox]").forEach((b) => { b.checked = event.target.checked; });
    }
    if (event.target.matches("[data-submit]")) { form.requestSubmit(); return; }
    countSelected(form);
  });

  function localTimes() {
    document.querySelectorAll("time[data-clock]").forEach((e) => {
      const t = new Date(e.dateTime);
      const day = t.toDateString() === new Date().toDateString();
      e.textContent = day ? t.toLocaleTimeString() : t.toLocaleString();
    });
    document.querySelectorAll("form[data-list]").forEach(countSelected);
  }

  document.addEventListener("DOMContentLoaded", localTimes);
  document.addEventListener("htmx:afterSettle", localTimes);

  // A live page says so when it hears nothing any more: what it shows may be out of date. The server sends a beat every
  // 15 s. A connection that broke has some seconds to come back.
  const quiet = 40000;
  const grace = 5000;
  let due = Date.now() + 2 * grace;
  let read = Date.now();
  const alive = () => { due = Date.now() + quiet; };
  function showSilence() {
    const note = document.getElementById("silent");
    if (!note) return;
    const silent = Date.now() > due;
    if (silent && note.hidden) note.querySelector("[data-read]").textContent = new Date(read).toLocaleTimeString();
    if (note.hidden === silent) note.hidden = !silent;
    document.getElementById("main").classList.toggle("silent", silent);
  }
  setInterval(showSilence, 1000);
  // The mark of the status that the server has told about. A page that reads itself again sends it with the mark of
  // what it shows, so that the server knows which reading is late enough.
  let told = "";
  document.addEventListener("htmx:sseOpen", (event) => {
    alive();
    event.detail.source.addEventListener("beat", alive);
    event.detail.source.addEventListener("status", (e) => { told = e.data; });
  });
  document.addEventListener("htmx:configRequest", (event) => {
    const shown = event.target.dataset.read;
    if (event.target.id === "live" && shown && told) event.detail.headers["Driftless-Read"] = `${shown} ${told}`;
  });
  document.addEventListener("htmx:sseError", () => { due = Math.min(due, Date.now() + grace); });
  // What a visitor has selected, opened or typed survives that the page is read again. Selections are kept by their
  // values: a row that moves keeps its own, and never passes it on to another.
  const key = (e) => [e.form && e.form.id, e.name, e.type === "checkbox" ? e.value : ""].join("\n");
  const title = (d) => [d.closest("[id]").id, d.querySelector("summary").textContent].join("\n");
  let kept = null;

  function keep() {
    const live = document.getElementById("live");
    kept = { checked: new Set(), text: new Map(), open: new Set() };
    live.querySelectorAll("input").forEach((e) => {
      if (e.type === "checkbox" && e.checked) kept.checked.add(key(e));
      if (/^(text|search)$/.test(e.type) && e.value !== e.defaultValue) kept.text.set(key(e), e.value);
    });
    live.querySelectorAll("details[open]").forEach((d) => kept.open.add(title(d)));
  }

  function restore() {
    const live = document.getElementById("live");
    if (!kept || !live) return;
    live.querySelectorAll("input").forEach((e) => {
      if (e.type === "checkbox" && !e.matches("[data-all]")) e.checked = kept.checked.has(key(e));
      if (kept.text.has(key(e))) e.value = kept.text.get(key(e));
    });
    live.querySelectorAll("details").forEach((d) => { d.open = kept.open.has(title(d)); });
    kept = null;
    localTimes();
  }

  // An open form, or a list in which something is selected, does not change under the visitor's hands. The page is read
  // again once the form is closed and nothing is selected, or when the visitor asks for it.
  let missed = false;
  const busy = () => document.querySelector("#live [popover]:popover-open, #live [data-row] input:checked") !== null;
  function miss() {
    missed = true;
    document.querySelectorAll("[data-refresh]").forEach((e) => { e.hidden = false; });
  }
  function catchUp() {
    if (!missed || busy()) return;
    missed = false;
    htmx.trigger("#live", "refresh");
  }
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id === "live" && busy()) {
      event.preventDefault();
      miss();
    }
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "live") return;
    // The page was loaded when nobody knew who the visitor is. Its frame is that of a visitor now.
    if (event.detail.xhr.status === 200 && !document.querySelector("header .visitor")) { location.reload(); return; }
    if (busy()) {
      event.detail.shouldSwap = false;
      miss();
      return;
    }
    keep();
  });
  document.addEventListener("htmx:afterSwap", restore);
  document.addEventListener("htmx:afterSwap", () => { read = Date.now(); });
  document.addEventListener("toggle", (event) => { if (event.newState === "closed") catchUp(); }, true);
  document.addEventListener("change", catchUp);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-refresh]")) return;
    document.querySelectorAll("#live [data-row] input:checked").forEach((e) => { e.checked = false; });
    catchUp();
  });
})();
