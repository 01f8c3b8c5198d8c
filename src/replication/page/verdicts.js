"use strict";
// View (a): the claims, their numbers and what decides them.

(() => {
  const { make, element, options, pretty, unbroken } = explorer;
  const claims = explorer.data.claims;
  const SIGNS = { reproduced: "●", supported: "◐", deviates: "✕", "not-run": "○" };
  const EXPERIMENTS = { regression: "regression", "double-integrator": "double integrator", method: "the method itself" };
  const filters = ["status", "experiment", "origin", "search"].map(element);

  // The verdicts that the filter offers; a claim that is left open deviates too.
  const OPEN = "left open";
  const is = (claim, status) => (status === OPEN ? claim.leftOpen : claim.status === status);

  const listed = (items) => make("ul", {}, ...items.map((one) => make("li", {}, one)));

  const exhibit = ({ label, name, shows }) => `${label} of the report (${name}): ${shows}`;

  const details = (claim) => {
    const rows = [
      ["measured", `${pretty(claim.found)}: ${claim.quantity}`],
      ["expected", `${pretty(claim.wanted)}${claim.tolerance ? "" : ", without a tolerance"} (${claim.tier})`],
      ["because", claim.reason],
      ["source", claim.source],
      ["setting", claim.setting],
      ["not decided", claim.undecided],
      ["chosen", claim.chosen.length ? `with this value in view: ${claim.chosen.join(", ")}` : ""],
      ["shown in", claim.shown.length ? listed(claim.shown.map(exhibit)) : "no figure or table of the report"],
      ["changed", claim.changes.length ? listed(claim.changes) : ""],
      ["evidence", claim.evidence.length ? listed(claim.evidence.map((one) => make("code", {}, one))) : "none"],
      ["again with", claim.effort],
      ["id", make("code", {}, claim.id)],
    ];
    const shown = rows.filter(([, value]) => value !== "");
    return make("dl", {}, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  };

  const item = (claim) => {
    const status = make("span", { class: "status", "data-sign": SIGNS[claim.status] }, claim.said);
    const expected = make("small", {}, `expected ${pretty(claim.wanted)}`);
    const measured = make("span", { class: "measured" }, pretty(claim.found), expected);
    const summary = make("summary", {}, status, make("span", {}, claim.statement), measured);
    const node = make("li", { "data-id": claim.id }, make("details", {}, summary, details(claim)));
    if (claim.measured !== null) node.dataset.measured = claim.measured;
    return node;
  };

  const matches = (claim) => {
    const [status, experiment, origin, search] = filters.map((one) => one.value);
    const words = `${claim.id} ${claim.statement} ${claim.quantity}`.toLowerCase();
    return (
      (!status || is(claim, status)) &&
      (!experiment || claim.experiments.includes(experiment)) &&
      (!origin || claim.origin === origin) &&
      words.includes(search.trim().toLowerCase())
    );
  };

  const items = claims.map((claim) => [claim, item(claim)]);

  const filter = () => {
    for (const [claim, node] of items) node.hidden = !matches(claim);
    const shown = claims.filter(matches);
    const left = shown.filter((one) => one.leftOpen).length;
    const note = (status) => (status === "deviates" && left ? ` (${left} ${OPEN})` : "");
    const counts = Object.keys(SIGNS)
      .map((status) => [status, shown.filter((one) => one.status === status).length])
      .filter(([, count]) => count)
      .map(([status, count]) => `${count} ${status}${note(status)}`);
    const said = `${shown.length} of ${claims.length} claims${counts.length ? ": " : ""}${counts.join(", ")}`;
    element("count").textContent = unbroken(said);
  };

  const offered = (values) => [["", "all"], ...values];
  const present = (names, of) => names.filter((name) => claims.some((claim) => of(claim).includes(name)));

  const offeredStatus = [...Object.keys(SIGNS), OPEN].filter((status) => claims.some((one) => is(one, status)));
  options(element("status"), offered(offeredStatus.map((name) => [name, name === OPEN ? `deviates, ${OPEN}` : name])));
  const experiments = present(Object.keys(EXPERIMENTS), (one) => one.experiments);
  options(element("experiment"), offered(experiments.map((name) => [name, EXPERIMENTS[name]])));
  const origins = [...new Set(claims.map((one) => one.origin))];
  options(element("origin"), offered(origins.map((name) => [name, name])));
  element("claims").append(...items.map(([, node]) => node));
  for (const kind of ["input", "change"]) element("filters").addEventListener(kind, filter);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
