/* Everything works without this script; it adds hover cards, shortcuts, and care for what is open or unsaved. */
"use strict";
(() => {
  const OPEN_AFTER = 120, CLOSE_AFTER = 180;
  const anchored = CSS.supports("position-area: bottom");

  /* Popovers: one anchor each, its button. Browsers without anchor positioning get coordinates. */
  function show(popover, button) {
    if (!popover.matches(":popover-open")) popover.showPopover({ source: button });
  }
  function place(popover) {
    if (anchored) return;
    const button = document.querySelector(`[popovertarget="${popover.id}"]`);
    const from = button.getBoundingClientRect(), size = popover.getBoundingClientRect();
    const below = from.bottom + 6 + size.height < innerHeight || from.top < size.height;
    popover.style.left = `${Math.max(8, Math.min(from.left, innerWidth - size.width - 8))}px`;
    popover.style.top = `${below ? from.bottom + 6 : from.top - size.height - 6}px`;
  }
  document.addEventListener("toggle", (event) => {
    const popover = event.target;
    if (!popover.popover) return;
    if (event.newState === "open") place(popover);
    else if (current && popover === current.card) current = null;
  }, true);

  /* Hover cards: a button with all the alert icons of a deal, and its card (WCAG 1.4.13: dismissable, hoverable,
     persistent). `dismissed` is the button whose card was closed with Esc: it stays closed until it is left. */
  let current = null, dismissed = null, timer = 0;
  const hoverButton = (node) => node.closest?.("[data-card]");
  const within = (node) => current && node && (current.card.contains(node) || current.button.contains(node));

  function openCard(button) {
    clearTimeout(timer);
    if (button === dismissed || current?.button === button) return;
    const card = document.getElementById(button.getAttribute("popovertarget"));
    show(card, button);
    current = { button, card, pinned: false };
  }
  function closeCard() {
    clearTimeout(timer);
    if (current && !current.pinned) current.card.hidePopover();
  }
  function highlight(button, kind) {
    const card = document.getElementById(button.getAttribute("popovertarget"));
    for (const entry of card.querySelectorAll("[data-alert]")) entry.classList.toggle("current", entry.dataset.alert === kind);
  }
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const button = hoverButton(event.target);
    if (button) {
      highlight(button, event.target.closest("[data-alert]")?.dataset.alert);
      if (current?.pinned) return;
      clearTimeout(timer);
      timer = setTimeout(openCard, current ? 40 : OPEN_AFTER, button);
    } else if (within(event.target)) clearTimeout(timer);
  });
  document.addEventListener("htmx:oobAfterSwap", () => { // the card's lines have come while it was open
    const badge = document.querySelector("[data-card] [data-alert]:hover");
    if (badge) highlight(hoverButton(badge), badge.dataset.alert);
  });
  document.addEventListener("pointerout", (event) => {
    const button = hoverButton(event.target);
    if (button && !button.contains(event.relatedTarget)) {
      clearTimeout(timer);
      if (dismissed === button) dismissed = null;
    }
    if (current && !current.pinned && within(event.target) && !within(event.relatedTarget)) {
      clearTimeout(timer);
      timer = setTimeout(closeCard, CLOSE_AFTER);
    }
  });
  document.addEventListener("focusin", (event) => {
    const button = hoverButton(event.target);
    if (button?.matches(":focus-visible") && !current?.pinned) openCard(button);
  });
  document.addEventListener("focusout", (event) => {
    if (hoverButton(event.target) === dismissed) dismissed = null;
    if (within(event.target) && !within(event.relatedTarget)) closeCard();
  });
  document.addEventListener("click", (event) => {
    const button = hoverButton(event.target);
    if (!button) return;
    if (current?.button === button && !current.pinned) {
      event.preventDefault(); // it is open already: the click pins it
      current.pinned = true;
    } else if (!current) {
      clearTimeout(timer);
      const card = document.getElementById(button.getAttribute("popovertarget"));
      if (!card.matches(":popover-open")) current = { button, card, pinned: true }; // the browser opens it
    }
  });

  /* Keyboard: Esc, "/" for the search, J and K for the next and previous deal, and what `data-key` names. */
  const typing = (node) => node.matches?.("input:not([type=checkbox]), select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && current) {
      dismissed = current.button;
      current.pinned = false;
      closeCard();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const rows = [...document.querySelectorAll("[data-row]")];
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if ((event.key === "j" || event.key === "k") && rows.length) {
      const at = rows.findIndex((row) => row.closest("tr").contains(document.activeElement));
      rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))]?.focus();
    } else { // a key of the row that has the focus, or of the page if there is one of it: `data-key`
      const find = (part) => part?.querySelectorAll(`[data-key="${CSS.escape(event.key)}"]`) ?? [];
      const keys = [find(event.target.closest?.("tr")), find(document)].find((found) => found.length === 1);
      if (event.key === "o") event.target.closest?.("tr")?.querySelector("[data-row]")?.click();
      if (event.key === "Escape" && !document.querySelector(":popover-open")) select(() => false);
      if (!keys) return;
      event.preventDefault();
      keys[0].closest("details")?.setAttribute("open", "");
      if (keys[0].matches("textarea")) keys[0].focus();
      else keys[0].click();
    }
  });

  /* Chosen deals of the list: one by one, all of the page, none. */
  const picks = () => [...document.querySelectorAll("input[name=deal]")];
  function tell() {
    const all = document.querySelector("[data-all]"), text = document.querySelector("[data-selected]"), boxes = picks();
    if (!all || !text) return;
    const count = boxes.filter((box) => box.checked).length, [one, many] = text.dataset.selected.split("|");
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    text.textContent = count === 1 ? one : many.replace("{n}", count);
  }
  function select(wanted) {
    for (const box of picks()) box.checked = wanted(box);
    const every = document.querySelector("input[name=all][data-select]");
    if (every) every.checked = false;
    tell();
  }
  document.addEventListener("change", ({ target }) => {
    if (target.matches?.("[data-all]")) select(() => target.checked);
    else if (target.name === "deal") tell();
  });
  document.addEventListener("click", ({ target }) => { if (target.closest?.("[data-none]")) select(() => false); });
  document.addEventListener("input", ({ target }) => { if (target.dataset?.picks) document.getElementById(target.dataset.picks).checked = true; });
  addEventListener("pageshow", tell); // the browser remembers what was chosen

  /* On a phone the menu is a row that scrolls: the page one is on is in sight. */
  const here = document.querySelector(".nav [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - 60;

  /* The server may leave to this script what is not seen at once, but for the menu that is open. */
  document.cookie = "script=1; path=/; SameSite=Lax";
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const menu = document.querySelector(".bar .menu:popover-open");
    if (menu) detail.headers["Vigie-Menu"] = menu.id.replace("-menu", "");
  });

  /* A swap replaces open menus and the focused element: open and focus their successors. */
  let before = null;
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (detail.requestConfig.elt.getAttribute("hx-swap") === "none") return; // parts here and there, no menu among them
    const menu = document.querySelector(".menu:popover-open"), active = document.activeElement;
    const link = active?.getAttribute("href");
    before = { menu: menu?.id, top: menu?.scrollTop, focus: active?.id ? `#${CSS.escape(active.id)}` : link && `a[href="${CSS.escape(link)}"]` };
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const wanted of document.querySelectorAll("[data-focus]")) {
      wanted.removeAttribute("data-focus");
      wanted.focus();
    }
    if (!before) return;
    const menu = before.menu && document.getElementById(before.menu);
    if (menu) {
      show(menu, document.querySelector(`[popovertarget="${menu.id}"]`));
      menu.scrollTop = before.top;
    }
    const focus = before.focus && document.querySelector(before.focus);
    if (focus && document.activeElement === document.body) focus.focus({ preventScroll: true });
    before = null;
  });

  /* Unsaved changes: ask before they are left behind; Save and Cancel are answers. What is left all the same, or meets the
     end of the session, is kept in this tab, and offered when the page is opened again. */
  const guard = document.querySelector("[data-guard]");
  let unsaved = Boolean(guard?.matches("[data-unsaved]"));
  const guarded = (node) => node.closest?.("[data-guard]") && !node.closest("[data-aside]");
  const keep = () => sessionStorage.setItem(guard.dataset.guard, new URLSearchParams(new FormData(guard)));
  document.addEventListener("input", (event) => { if (guarded(event.target)) unsaved = true; });
  document.addEventListener("submit", (event) => { if (event.target === guard) { keep(); unsaved = false; } });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-edits]")) unsaved = true;
    if (guard && event.target.closest?.("[data-discard]")) { unsaved = false; sessionStorage.removeItem(guard.dataset.guard); }
  });
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  addEventListener("pagehide", () => { if (unsaved) keep(); });
  document.addEventListener("htmx:beforeOnLoad", (event) => { // the session is over: the page is loaded anew, and leads to the login
    if (unsaved && event.detail.xhr.getResponseHeader("HX-Refresh")) { keep(); unsaved = false; }
  });
  for (const form of document.querySelectorAll("[data-saved]")) sessionStorage.removeItem(form.dataset.saved);
  for (const note of document.querySelectorAll("[data-kept]")) {
    const kept = sessionStorage.getItem(note.dataset.kept);
    note.hidden = !kept;
    note.addEventListener("click", (event) => {
      if (event.target.closest("[data-kept-resume]")) {
        const form = document.createElement("form"), page = note.closest("form");
        form.method = "post";
        form.action = page.action;
        const values = new URLSearchParams(kept);
        values.set("csrfmiddlewaretoken", page.elements.csrfmiddlewaretoken.value);
        values.set("do", "effect");
        for (const [name, value] of values) {
          const field = document.createElement("input");
          Object.assign(field, { type: "hidden", name, value });
          form.append(field);
        }
        document.body.append(form);
        unsaved = false;
        form.submit();
      } else if (event.target.closest("[data-kept-drop]")) {
        sessionStorage.removeItem(note.dataset.kept);
        note.hidden = true;
      }
    });
  }

  /* A note being written is kept in this tab until it is saved, whatever becomes of the session. */
  document.addEventListener("input", ({ target }) => { if (target.dataset?.draft) sessionStorage.setItem(target.dataset.draft, target.value); });
  const restore = () => {
    for (const field of document.querySelectorAll("[data-draft]")) {
      if ("saved" in field.dataset) sessionStorage.removeItem(field.dataset.draft);
      else if (!field.value) field.value = sessionStorage.getItem(field.dataset.draft) ?? "";
      delete field.dataset.saved;
      if (field.value) field.closest("details")?.setAttribute("open", "");
    }
  };
  restore();
  document.addEventListener("htmx:afterSettle", restore);
  document.addEventListener("click", (event) => { if (event.target.closest?.("[data-print]")) print(); });

  /* Fresh data: asked for while the page is seen ("poll"), shown ("fresh") when nobody is in the middle of something. */
  let changed = false;
  const edited = (field) => field === document.activeElement || field.value !== field.defaultValue;
  const openSelect = CSS.supports("selector(select:open)") ? "main select:open" : "main select:focus";
  const busy = () => current || unsaved || document.querySelector(`main :popover-open, main details[open] form, main [data-select]:checked, ${openSelect}`)
    || [...document.querySelectorAll("main textarea, main input:is([type=text], [type=email], [type=number], [type=date], :not([type]))")].some(edited);
  const refresh = () => {
    if (!changed || document.hidden || busy()) return;
    changed = false;
    htmx.trigger(document.body, "fresh");
    const main = document.querySelector("main[data-follows]"); // by the address as it is now, and whole even where a part would do
    if (main) htmx.ajax("GET", location.href, { source: main, target: main, select: "#main", swap: "outerHTML", headers: { "HX-History-Restore-Request": "true" } });
  };
  const poll = () => { if (!document.hidden) htmx.trigger(document.body, "poll"); };
  document.body.addEventListener("changed", () => { changed = true; setTimeout(refresh); });
  document.addEventListener("visibilitychange", poll);
  setInterval(poll, 15_000);
  setInterval(refresh, 1_000);
  document.addEventListener("htmx:beforeOnLoad", (event) => { // asking whether there is news ends no work in the middle
    if (event.detail.elt.id === "freshness" && event.detail.xhr.getResponseHeader("HX-Refresh")) event.preventDefault();
  });

  /* What could not be computed or loaded says so, until the next try. */
  for (const [name, failed] of [["htmx:beforeRequest", false], ["htmx:responseError", true], ["htmx:sendError", true]]) {
    document.addEventListener(name, ({ detail: { target } }) => { if (target?.matches("#impact, #aside")) target.classList.toggle("failed", failed); });
  }

  /* A link to what this page may show itself. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-here]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !document.getElementById(link.hash.slice(1))) return;
    event.preventDefault();
    location.hash = link.hash;
  });

  /* A rule that is switched off needs no limits: its fields are dimmed, not lost. */
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(".switch")) event.target.closest("[data-rule]")?.classList.toggle("off", !event.target.checked);
  });

  /* Copies the field that the button names, and says so in the button's place. */
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    field.select(); // where nothing may be written to the clipboard, it is ready for Ctrl+C
    await navigator.clipboard?.writeText(field.value);
    button.textContent = button.dataset.done;
  });

  /* Appearance: seen at once; the form that the button sends keeps it. */
  document.addEventListener("click", (event) => {
    const choice = event.target.closest?.("[data-theme-choice]");
    if (!choice) return;
    const theme = choice.value;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const other of choice.parentElement.children) other.setAttribute("aria-pressed", other === choice);
  });
})();
