"use strict";
// View (c): the state plane of the double integrator, with closed loops from a start that the reader moves.

(() => {
  const { axis, count, decode, draw, element, heading, key, level } = explorer;
  const { look, make, number, options, row, stroke, tint } = explorer;
  const view = explorer.data.views["double-integrator"];
  if (!view) {
    element("plane").replaceChildren(make("p", {}, "This scale runs none of the arms that are shown here."));
    return;
  }
  const { colours, labels } = explorer.data;
  const loops = (explorer.closedLoops = explorer.loops(view));
  const BASELINE = "unconstrained";
  const FAR = 1.15 * view.stateBound;
  const OPACITY = { certified: 0.6, refuted: 0.35 };
  const SCENARIOS = {
    cooperative: "cooperative: all labels good",
    mixed: `mixed: harmful where x₁ > ${view.harmfulAbove}`,
    hostile: "hostile: all labels harmful",
  };
  const [scenario, method, seed, iterate, x1, x2] = ["scenario", "method", "loop-seed", "iterate", "x1", "x2"].map(element);
  const [state, inputs] = [element("state"), element("inputs")];
  let start = [-2, 2];

  const run = (name) => view.scenarios[scenario.value]?.[name]?.[seed.value];
  const chosen = () => run(method.value);
  const theta = (of, index) => of && row(of.theta, index);

  // Return the loops that are shown: name, colour, label, weights (none for the backup).
  const shown = () => [
    { name: "backup", label: "backup", theta: null, dash: "dash" },
    { name: BASELINE, label: `${labels[BASELINE]}, final`, theta: theta(run(BASELINE), -1), dash: "solid" },
    { name: method.value, label: labels[method.value], theta: theta(chosen(), Number(iterate.value)), dash: "solid" },
  ].filter((one) => one.name === "backup" || one.theta);

  // The cells of a certificate, drawn once for each run and look as a picture behind the plane.
  const pictures = new Map();
  const picture = (certificate) => {
    const name = `${scenario.value} ${method.value} ${seed.value} ${look("wash")}`;
    if (!pictures.has(name)) {
      const canvas = make("canvas", { width: certificate.cells, height: certificate.cells });
      const pen = canvas.getContext("2d");
      for (const kind of ["certified", "refuted"]) {
        pen.fillStyle = tint(colours[kind], OPACITY[kind]);
        const strips = decode(certificate[kind]);
        for (let at = 0; at < strips.length; at += 3) {
          pen.fillRect(strips[at], certificate.cells - strips[at + 2], 1, strips[at + 2] - strips[at + 1]);
        }
      }
      pictures.set(name, canvas.toDataURL());
    }
    return pictures.get(name);
  };

  // Return what a certificate says of a point: certified, refuted, or neither.
  const proven = (certificate, [first, second]) => {
    const side = (2 * view.stateBound) / certificate.cells;
    const cell = [first, second].map((value) => Math.floor((value + view.stateBound) / side));
    const inside = (strips) => {
      for (let at = 0; at < strips.length; at += 3) {
        if (strips[at] === cell[0] && strips[at + 1] <= cell[1] && cell[1] < strips[at + 2]) return true;
      }
      return false;
    };
    if (inside(decode(certificate.certified))) return "lies in the certified set";
    if (inside(decode(certificate.refuted))) return "is refuted: a violation from here is proven";
    return "is neither certified nor refuted";
  };

  const drawPlane = (found) => {
    const [ink, bound] = [look("ink"), view.stateBound];
    const corners = [...view.vertices, view.vertices[0]];
    const through = (points) => ({ x: points.map((one) => one[0]), y: points.map((one) => one[1]) });
    const outline = { ...through(corners), mode: "lines", line: { color: ink, width: 1.2, dash: "dot" }, hoverinfo: "skip" };
    const paths = found.map(({ name, label, dash, loop }) => ({
      ...through(loop.states),
      name: label,
      mode: "lines+markers",
      line: { color: colours[name], width: 2.2, dash },
      marker: { size: 5, color: colours[name] },
      text: loop.states.map((one, t) => `step ${t}`),
      hovertemplate: "%{text}: (%{x:.3f}, %{y:.3f})<extra>%{fullData.name}</extra>",
    }));
    const handle = {
      ...through([start]),
      mode: "markers",
      hoverinfo: "skip",
      marker: { size: 15, color: look("paper"), line: { color: ink, width: 2.5 } },
    };
    const certificate = chosen()?.certificate;
    const extent = { xref: "x", yref: "y", x: -bound, y: bound, sizex: 2 * bound, sizey: 2 * bound };
    const ground = certificate ? [{ source: picture(certificate), ...extent, sizing: "stretch", layer: "below" }] : [];
    const box = { type: "rect", x0: -bound, x1: bound, y0: -bound, y1: bound, line: { color: ink, width: 1.5 } };
    const side = { range: [-FAR, FAR], tickvals: [-bound, 0, bound] };
    return draw(state, [outline, ...paths, handle], {
      margin: { l: 46, r: 8, t: 8, b: 42 },
      images: ground,
      shapes: [box],
      xaxis: axis("x₁", side),
      yaxis: axis("x₂", side),
    });
  };

  const drawInputs = (found) => {
    const bound = view.inputBound;
    const lines = found.map(({ name, label, dash, loop }) => ({
      x: loop.inputs.map((_, t) => t),
      y: loop.inputs,
      name: label,
      mode: "lines",
      line: { color: colours[name], width: 2, dash, shape: "hv" },
      hovertemplate: "step %{x}: u = %{y:.4f}<extra>%{fullData.name}</extra>",
    }));
    const limit = { color: look("ink"), width: 1, dash: "dash" };
    return draw(inputs, lines, {
      title: heading("<b>Input over time</b>, with its limits"),
      xaxis: axis("step", { range: [0, view.steps - 1], nticks: 5 }),
      yaxis: axis("u", { range: [-2.2 * bound, 2.2 * bound], tickvals: [-bound, 0, bound] }),
      shapes: [level(-bound, limit), level(bound, limit)],
    });
  };

  const tabulate = (found) => {
    const judged = found.map(({ loop }) => loops.judge(loop));
    const kept = ({ broken }) => (broken.length ? `✕ breaks ${broken.join(", ")}` : "● kept");
    const rows = [
      ["constraints", kept],
      ["largest |xᵢ|", (one) => number(one.state)],
      ["largest |u|", (one) => number(one.input)],
      ["gauge Ψ at the end, as a share of that at the start", (one) => number(one.left)],
      ["cost", (one) => number(one.cost)],
    ];
    const cells = (value) => judged.map((one) => make("td", {}, value(one)));
    const line = ([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), ...cells(value));
    const head = make("tr", {}, make("td"), ...found.map(({ label }) => make("th", { scope: "col" }, label)));
    element("loops").tHead.replaceChildren(head);
    element("loops").tBodies[0].replaceChildren(...rows.map(line));
  };

  const say = () => {
    const of = chosen();
    const index = Number(iterate.value);
    const told = [
      `SCPO iterate after update ${count(of.saved[index])} of ${count(of.updates)}:`,
      `least slack over ${count(view.heldout)} held-out starts ${number(decode(of.slack)[index])},`,
      `mean cost over ${view.costHorizon} steps ${number(decode(of.cost)[index])}.`,
    ];
    if (of.unsafe) told.push(`This run had ${count(of.unsafe)} unsafe iterates${of.failed ? ", and it failed" : ""}.`);
    if (!run(BASELINE)) told.push("No policy of unconstrained training is kept with this seed.");
    if (loops.gauge(start) > view.rho) {
      told.push(`The start lies outside the set of starts, ${view.rho} O∞: nothing is promised here.`);
    }
    if (of.certificate) {
      const box = (2 * view.stateBound) ** 2;
      told.push(`For the final policy the start ${proven(of.certificate, start)}`);
      told.push(`(certified area ${number(of.certificate.area)}, of the box's ${number(box)}).`);
    } else told.push("There is no certificate of this run.");
    element("policy").textContent = told.join(" ");
    iterate.setAttribute("aria-valuetext", `update ${count(of.saved[index])}`);
  };

  const update = () => {
    const found = shown().map((one) => ({ ...one, loop: loops.rollout(one.theta, start, view.steps) }));
    x1.value = start[0].toFixed(2);
    x2.value = start[1].toFixed(2);
    explorer.current = { start, loops: found };
    drawPlane(found);
    drawInputs(found);
    tabulate(found);
    say();
  };

  const explain = () => {
    const dashed = { dash: "stroke-dasharray: 6 4", solid: "" };
    key(element("plane-key"), [
      ...shown().map(({ name, label, dash }) => [label, "line", stroke(colours[name], 3, dashed[dash])]),
      ["start", "dot", stroke(look("ink"), 2.5)],
      ["O∞", "line", stroke(look("ink"), 1.5, "stroke-dasharray: 2 3")],
      ["state limits", "line", stroke(look("ink"), 2)],
      ["certified (final policy)", "area", `fill: ${tint(colours.certified, OPACITY.certified)}`],
      ["refuted", "area", `fill: ${tint(colours.refuted, OPACITY.refuted)}`],
    ]);
  };

  // Offer what the results hold, and redraw all.
  const all = () => {
    const runs = view.scenarios[scenario.value];
    const methods = Object.keys(runs).filter((name) => name !== BASELINE);
    options(method, methods.map((name) => [name, labels[name]]));
    options(seed, explorer.seeds([runs[method.value]], [runs[method.value]]));
    const last = chosen().saved.length - 1;
    const atEnd = iterate.value === iterate.max;
    iterate.max = last;
    if (atEnd) iterate.value = last;
    const counted = Object.entries(view.counts[scenario.value]);
    const total = counted.map(([name, of]) => explorer.unsafe(labels[name], of));
    element("judged").textContent = [
      `The constraint looks at ${view.horizon} steps: |xᵢ| ≤ ${view.stateBound}, |u| ≤ ${view.inputBound},`,
      `and at most ${view.contraction} of the start's gauge left at the end. The cost is the sum over these steps.`,
      `The plane shows ${view.steps} steps. The page holds ${last + 1} iterates of this SCPO run,`,
      "and the final policy of unconstrained training.",
      `Unsafe iterates, all seeds together: ${total.join(", ")}.`,
    ].join(" ");
    update();
    explain();
  };

  const clamp = (value) => Math.max(-view.stateBound, Math.min(view.stateBound, value));
  const place = (point) => {
    // the gauge of the origin is 0: there is no share of it
    if (point.every(Number.isFinite) && point.some((value) => value !== 0)) start = point.map(clamp);
    update();
  };

  // Return the state under a pointer, from the place of the plot's area on the screen.
  const under = (event) => {
    const area = state.querySelector(".nsewdrag").getBoundingClientRect();
    const share = [(event.clientX - area.left) / area.width, (area.bottom - event.clientY) / area.height];
    return share.map((one) => FAR * (2 * one - 1));
  };
  state.addEventListener("pointerdown", (event) => {
    state.setPointerCapture(event.pointerId);
    state.focus({ preventScroll: true });
    place(under(event));
  });
  state.addEventListener("pointermove", (event) => {
    if (state.hasPointerCapture(event.pointerId)) place(under(event));
  });
  state.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.5 : 0.1;
    place(start.map((value, at) => Math.round((value + step * move[at]) * 1e6) / 1e6));
  });
  for (const field of [x1, x2]) {
    field.min = -view.stateBound;
    field.max = view.stateBound;
    field.addEventListener("change", () => place([x1.valueAsNumber, x2.valueAsNumber]));
  }
  for (const select of [scenario, method, seed]) select.addEventListener("change", all);
  iterate.addEventListener("input", update);
  options(scenario, Object.keys(view.scenarios).map((name) => [name, SCENARIOS[name] ?? name]));
  if ("mixed" in view.scenarios) scenario.value = "mixed";
  iterate.value = iterate.max;
  explorer.views.plane = all;
})();
