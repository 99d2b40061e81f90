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

  /* Keyboard: Esc, "/" for the search, J and K for the next and previous deal. */
  const typing = (node) => node.matches?.("input:not([type=checkbox]), select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && current) {
      dismissed = current.button;
      current.pinned = false;
      closeCard();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === "j" || event.key === "k") {
      const rows = [...document.querySelectorAll("[data-row]")];
      const at = rows.findIndex((row) => row.closest("tr").contains(document.activeElement));
      rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))]?.focus();
    }
  });

  /* A swap replaces open menus and the focused element: open and focus their successors. */
  let before = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const menu = document.querySelector(".menu:popover-open");
    before = { menu: menu?.id, top: menu?.scrollTop, focus: document.activeElement?.id };
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
    const focus = before.focus && document.getElementById(before.focus);
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

  /* An effect that could not be computed says so, until the next try. */
  for (const [name, failed] of [["htmx:beforeRequest", false], ["htmx:responseError", true], ["htmx:sendError", true]]) {
    document.addEventListener(name, ({ detail: { target } }) => { if (target?.id === "impact") target.classList.toggle("failed", failed); });
  }

  /* A rule that is switched off needs no limits: its fields are dimmed, not lost. */
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(".switch")) event.target.closest("[data-rule]")?.classList.toggle("off", !event.target.checked);
  });

  /* Appearance, remembered in a cookie so that the server paints the right one at once. */
  document.addEventListener("click", (event) => {
    const choice = event.target.closest?.("[data-theme-choice]");
    if (!choice) return;
    const theme = choice.dataset.themeChoice;
    document.cookie = `theme=${theme}; path=/; max-age=${theme ? 31536000 : 0}; samesite=lax`;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const other of choice.parentElement.children) other.setAttribute("aria-pressed", other === choice);
  });
})();
