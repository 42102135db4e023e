"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh);
  const button = document.getElementById("pause");
  const stale = document.getElementById("stale");
  let timer;

  // Only what changed is replaced, so that a screen reader announces a new verdict and nothing else.
  const renew = (id, next) => {
    const here = document.getElementById(id);
    const there = next.getElementById(id);
    if (here.outerHTML !== there.outerHTML) {
      here.className = there.className;
      Object.assign(here.dataset, there.dataset);
      here.replaceChildren(...there.childNodes);
    }
  };

  const refresh = async () => {
    try {
      const answer = await fetch(location.href, {
        cache: "no-store",
        headers: { accept: "text/html" },
        signal: AbortSignal.timeout(60000),
      });
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok || !next.getElementById("verdict")) throw new Error("no page");
      const open = [...document.querySelectorAll("details[open]")].map((details) => details.id);
      renew("verdict", next);
      renew("report", next);
      open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
      document.title = next.title;
      delete document.body.dataset.stale;
      stale.hidden = true;
    } catch {
      // an old verdict is no verdict
      document.title = `${document.body.dataset.name}: unknown`;
      document.body.dataset.stale = "";
      stale.hidden = false;
    }
    schedule();
  };
  const schedule = () => {
    timer = setTimeout(refresh, seconds * 1000);
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    const paused = button.textContent === "Pause";
    button.textContent = paused ? "Resume" : "Pause";
    clearTimeout(timer);
    if (!paused) refresh();
  });
  schedule();
})();
