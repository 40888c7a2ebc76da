// Puts what the server sends into the page; the server has drawn it.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const hold = byId("hold"), lost = byId("lost"), form = byId("limit-form");
  const focusable = "a,button,input,select,[tabindex]", scrollable = ".scroll,.events";
  let waiting = {}, held = false, source = null, again = 0, last = "";

  // One of the dots is reached by Tab, the others by the arrows.
  function oneStop(part) {
    for (const svg of part.querySelectorAll(".chart svg.drawing, .chart .plot")) {
      const dots = svg.querySelectorAll(".dot[tabindex]");
      const first = svg.querySelector(".dot:has(.present)") || dots[dots.length - 1];
      dots.forEach((dot) => dot.setAttribute("tabindex", dot === first ? "0" : "-1"));
    }
  }

  // Replaces a part; focus and what was scrolled stay where they were.
  function put(part, html) {
    const before = [...part.querySelectorAll(focusable)];
    const at = before.indexOf(document.activeElement);
    const words = at >= 0 ? wordsOf(before[at]) : "";
    const scrolled = [...part.querySelectorAll(scrollable)]
      .map((each) => [each.scrollLeft, each.scrollTop]);
    part.innerHTML = html;
    oneStop(part);
    part.querySelectorAll(scrollable).forEach((each, row) => {
      [each.scrollLeft, each.scrollTop] = scrolled[row] || [0, 0];
    });
    if (at < 0) return;
    const after = [...part.querySelectorAll(focusable)];
    const same = after.find((each) => words && wordsOf(each) === words) || after[at];
    if (same) same.focus({ preventScroll: true });
  }

  // The name of a dot, without its numbers, which change.
  function wordsOf(element) {
    const title = element.querySelector("title");
    return title ? title.textContent.split(" (")[0] : "";
  }

  function show(parts) {
    for (const [name, html] of Object.entries(parts)) {
      if (name === "choices") {
        const select = byId("limit"), chosen = select ? select.value : "";
        if (select) { select.innerHTML = html; select.value = chosen; }
        if (select && select.selectedIndex < 0) select.selectedIndex = 0;
      } else if (byId(name)) put(byId(name), html);
    }
    named();
  }

  function named() {
    const badge = byId("badge");
    if (badge && lost.hidden) document.title = badge.textContent + " - orin-tuner";
  }

  function open() {
    clearTimeout(again);
    if (source) source.close();
    source = new EventSource("/events");
    source.onmessage = (event) => {
      lost.hidden = true;
      named();
      last = new Date().toLocaleTimeString();
      Object.assign(waiting, JSON.parse(event.data));
      if (!held) { show(waiting); waiting = {}; }
    };
    source.onerror = () => {
      lost.textContent = "No connection to the service" +
        (last ? ": this is what it showed at " + last + "." : ".") + " The page tries again.";
      lost.hidden = false;
      document.title = "NO CONNECTION - orin-tuner";
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, 5000);
    };
  }

  hold.hidden = false;
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    hold.textContent = held ? "Go on" : "Hold";
    document.body.classList.toggle("held", held);
    if (!held) { show(waiting); waiting = {}; }
  });

  // What a dot is, in a line below: a finger and the keyboard have no pointer that rests on it.
  function tell(event) {
    const dot = event.target.closest && event.target.closest(".dot");
    const line = document.querySelector(".dot-words");
    if (dot && line) line.textContent = dot.querySelector("title").textContent;
  }
  document.addEventListener("focusin", tell);
  document.addEventListener("click", tell);
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const dot = event.target.closest && event.target.closest(".dot[tabindex]");
    if (!step || !dot) return;
    const place = (each) => each.getBoundingClientRect().left;
    const dots = [...dot.closest("figure").querySelectorAll(".dot[tabindex]")];
    dots.sort((one, other) => place(one) - place(other));
    const next = dots[dots.indexOf(dot) + step];
    if (next) {
      dot.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    }
    event.preventDefault();
  });

  if (form) form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reply = byId("reply"), button = form.querySelector("button");
    reply.textContent = "";
    button.disabled = true;
    try {
      const answer = await fetch("/limits", {
        method: "POST", body: new URLSearchParams(new FormData(form)),
        headers: { Accept: "text/plain" },
      });
      if (!answer.ok) reply.textContent = await answer.text();
    } catch {
      reply.textContent = "The limit was not sent: there is no connection to the service.";
    }
    button.disabled = false;
  });

  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { clearTimeout(again); if (source) source.close(); } else open();
  });
  oneStop(document.body);
  open();
})();
