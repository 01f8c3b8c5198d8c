"use strict";
// Starts the page: what it was made from, the tabs, and redrawing when the look changes.

(() => {
  const { data, element, show } = explorer;
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const views = tabs.map((tab) => tab.getAttribute("aria-controls"));

  const from = data.shipped ? "from the shipped results" : "from results made here";
  element("about").textContent = explorer.unbroken(`Scale ${data.scale}, ${from}. ${data.progress}${data.summary}.`);
  element("made").textContent = "This page holds its data and loads nothing. Colours mean the same as in the report's figures.";

  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => {
      history.replaceState(null, "", `#view-${views[index]}`);
      show(views[index]);
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  }

  const redraw = () => views.filter((name) => explorer.shown[name]).forEach((name) => explorer.views[name]?.());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // Print shows all views, in the light look.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("print");
    for (const name of views) {
      element(name).hidden = false;
      explorer.views[name]?.();
    }
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("print");
    show(tabs.find((tab) => tab.getAttribute("aria-selected") === "true").getAttribute("aria-controls"));
  });

  const named = location.hash.replace("#view-", "");
  show(views.includes(named) ? named : views[0]);
})();
