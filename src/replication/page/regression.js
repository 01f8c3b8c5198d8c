"use strict";
// View (b): the regression's policies and slacks over training, one column for each arm.

(() => {
  const { axis, count, decode, draw, element, heading, key, level } = explorer;
  const { look, make, number, row, stroke, tint } = explorer;
  const view = explorer.data.views.regression;
  if (!view) {
    element("regression").replaceChildren(make("p", {}, "This scale runs none of the arms that are shown here."));
    return;
  }
  const BASELINE = "unconstrained";
  const colours = explorer.data.colours;
  const labels = explorer.data.labels;
  const arms = Object.keys(view.arms);
  const [seed, time, play, next] = ["seed", "time", "play", "next-unsafe"].map(element);
  const { scale, ticks } = explorer.symlog(1e-5);

  // All arms share the axes, so that their heights can be compared.
  const slacks = arms.flatMap((arm) => Object.values(view.arms[arm]).map((run) => decode(run.series.slack)));
  const low = Math.min(-1e-3, ...slacks.map((values) => Math.min(...values.filter(Number.isFinite))));
  const high = Math.max(...slacks.map((values) => Math.max(...values.filter(Number.isFinite))));
  const range = [scale(low) - 0.4, scale(high) + 0.4];

  const plots = {};
  for (const arm of arms) {
    plots[arm] = {
      policy: make("div", { class: "plot", id: `policy-${arm}` }),
      slack: make("div", { class: "plot low", id: `slack-${arm}` }),
    };
    plots[arm].lacking = make("p", { id: `lacking-${arm}` });
    element("curves").append(make("div", {}, plots[arm].lacking, plots[arm].policy, plots[arm].slack));
  }

  // The run of an arm with the seed chosen, and the arms that have one.
  const run = (arm) => view.arms[arm][seed.value];
  const shown = () => arms.filter(run);

  // The seeds with policies saved over training; of the others the final policy alone is kept.
  const isFollowed = (seed) => arms.some((arm) => view.arms[arm][seed]?.policies.evaluations.length > 1);
  const followed = [...new Set(arms.flatMap((arm) => Object.keys(view.arms[arm])))].filter(isFollowed).sort((a, b) => a - b);

  // Return the bins of a run that hold an unsafe iterate.
  const unsafeBins = (arm) => Array.from(decode(run(arm).series.unsafe).entries()).filter(([, bad]) => bad).map(([bin]) => bin);

  // Return the epochs at which SCPO had an unsafe iterate.
  const unsafeEpochs = () =>
    shown().filter((arm) => arm !== BASELINE).flatMap((arm) => {
      const epochs = decode(run(arm).series.epoch);
      return unsafeBins(arm).map((bin) => epochs[bin]);
    });

  // The epochs at which the slider stops: every evaluation, and every unsafe iterate of SCPO.
  let stops = [];
  const findStops = () => {
    const evaluated = shown().flatMap((arm) => [...decode(run(arm).evaluations.epoch)]);
    return [...new Set([...evaluated, ...unsafeEpochs()])].sort((a, b) => a - b);
  };

  // Return the place in `values` (ascending) of the last one up to `most`, and that of the nearest one.
  const upTo = (values, most) => Math.max(0, values.findLastIndex((value) => value <= most));
  const nearest = (values, to) => {
    const before = upTo(values, to);
    return before + 1 < values.length && values[before + 1] - to < to - values[before] ? before + 1 : before;
  };

  // Return what is shown of a run: a saved policy (its row), the last evaluation, and the bin of updates.
  const moment = (arm) => {
    const { policies, evaluations, series } = run(arm);
    const epoch = stops[time.value];
    const evaluation = upTo(decode(evaluations.epoch), epoch);
    const final = policies.evaluations[0] === -1;
    const saved = final ? 0 : upTo(policies.evaluations, evaluation);
    return { epoch, evaluation, final, row: saved, bin: nearest(decode(series.epoch), epoch) };
  };

  const line = (x, y, look, more = {}) => ({ x, y, mode: "lines", line: look, hoverinfo: "skip", ...more });

  // A band across a plot, behind its lines.
  const band = (low, high, fillcolor) => ({
    type: "rect", xref: "paper", x0: 0, x1: 1, y0: low, y1: high, line: { width: 0 }, fillcolor, layer: "below",
  });

  const drawPolicy = (arm) => {
    const { policies } = run(arm);
    const ink = look("ink");
    const curve = ({ x, y }, look, more) => line(decode(x), decode(y), look, more);
    const traces = [curve(view.target, { color: ink, width: 1, dash: "dot" })];
    if (arm === "scpo") traces.push(curve(view.published, { color: colours.published, width: 6 }, { opacity: 0.5 }));
    const hover = { hoverinfo: "all", hovertemplate: "x %{x:.2f}<br>policy %{y:.3f}<extra></extra>" };
    const now = moment(arm);
    traces.push(line(decode(policies.x), row(policies.pi, now.row), { color: colours[arm], width: 2.2 }, hover));
    const update = () => decode(run(arm).evaluations.update)[policies.evaluations[now.row]];
    const which = now.final ? "final policy" : `update ${count(update())}`;
    const limit = { color: ink, width: 1, dash: "dash" };
    const sides = [-view.bound, 0, view.bound];
    return draw(plots[arm].policy, traces, {
      title: heading(`<b>${labels[arm]}</b>, ${which}`, 15),
      xaxis: axis("input x", { range: [-Math.PI, Math.PI], tickvals: [-Math.PI, 0, Math.PI], ticktext: ["−π", "0", "π"] }),
      yaxis: axis("policy", { range: [-2.4, 2.4], tickvals: sides, ticktext: sides.map(number) }),
      shapes: [band(-view.bound, view.bound, tint(colours.set, 0.25)), level(-view.bound, limit), level(view.bound, limit)],
    });
  };

  const drawSlack = (arm) => {
    const { series, unsafe, updates, failed } = run(arm);
    const [epoch, slack, bad, held] = [series.epoch, series.slack, series.unsafe, series.updates].map(decode);
    const scaled = Array.from(slack, scale);
    const text = Array.from(slack, (value, bin) => `least slack ${number(value)}<br>${bad[bin]} of ${held[bin]} unsafe`);
    const hovertemplate = "epoch %{x:.0f}<br>%{text}<extra></extra>";
    const at = unsafeBins(arm);
    const marks = {
      x: at.map((bin) => epoch[bin]),
      y: at.map((bin) => scaled[bin]),
      text: at.map((bin) => text[bin]),
      hovertemplate,
      mode: "markers",
      marker: { symbol: "x-thin", size: 7, line: { color: look("ink"), width: 1.3 } },
    };
    const least = line(epoch, scaled, { color: colours[arm], width: 1.5 }, { text, hovertemplate, hoverinfo: "all" });
    const last = Math.max(...shown().map((one) => decode(run(one).series.epoch).at(-1)));
    const note = { text: "unsafe", showarrow: false, font: { color: look("soft"), size: 12 } };
    const corner = { x: 1, xref: "paper", xanchor: "right", y: range[0], yanchor: "bottom" };
    return draw(plots[arm].slack, [marks, least], {
      title: heading(`${count(unsafe)} of ${count(updates)} iterates unsafe${failed ? ", and the run failed" : ""}`),
      xaxis: axis("epoch", { range: [0, last], nticks: 5, tickformat: ",d" }),
      yaxis: axis("slack", { range, ...ticks(low, high, 2) }),
      shapes: slackShapes(arm),
      annotations: [{ ...note, ...corner }],
    });
  };

  // The unsafe side, the line between, and where the slider stands.
  const slackShapes = (arm) => {
    const { epoch } = moment(arm);
    const ink = look("ink");
    return [
      { ...band(range[0], 0, ink), opacity: 0.08 },
      level(0, { color: ink, width: 1 }),
      { type: "line", yref: "paper", y0: 0, y1: 1, x0: epoch, x1: epoch, line: { color: ink, width: 1.5 } },
    ];
  };

  const say = () => {
    const slackOf = (value) => `${number(value)}${value < 0 ? ", unsafe" : ""}`;
    const told = shown().map((arm) => {
      const { evaluation, bin } = moment(arm);
      const { evaluations, series } = run(arm);
      const { loss, slack, update } = evaluations;
      const last = decode(series.update)[bin];
      const first = last - decode(series.updates)[bin] + 1;
      const span = first < last ? `updates ${count(Math.max(first, 0))} to ${count(last)}` : `update ${count(last)}`;
      return [
        `${labels[arm]}: update ${count(decode(update)[evaluation])}`,
        `loss on fresh inputs ${number(decode(loss)[evaluation])}`,
        `least slack on ${count(view.heldout)} held-out points ${slackOf(decode(slack)[evaluation])}`,
        `least slack on the grid, ${span}, ${slackOf(decode(series.slack)[bin])}`,
      ].join(", ");
    });
    const epoch = Math.round(stops[time.value]);
    element("moment").textContent = `Epoch ${count(epoch)}. ${told.join(". ")}.`;
    time.setAttribute("aria-valuetext", `epoch ${count(epoch)}`);
  };

  // Redraw what the slider moves.
  const move = () => {
    say();
    for (const arm of shown()) {
      drawPolicy(arm);
      Plotly.relayout(plots[arm].slack, { shapes: slackShapes(arm) });
    }
  };

  // Let the slider stop where the runs of the seed have something to show; keep its epoch, or the end.
  const setStops = () => {
    const before = time.value === time.max ? Infinity : stops[time.value];
    stops = findStops();
    time.max = stops.length - 1;
    time.value = nearest(stops, Math.min(before ?? Infinity, stops.at(-1)));
    time.disabled = play.disabled = stops.length < 2;
    next.hidden = unsafeEpochs().length === 0;
  };

  const all = () => {
    setStops();
    const saved = Math.max(...shown().map((arm) => run(arm).policies.evaluations.length));
    element("kept").textContent = saved < 2
      ? [
        `These results hold only the final policy of seed ${seed.value}, which the upper panels show wherever the slider is;`,
        "the lower panels follow the slider.",
        followed.length ? `The policy over training is kept for these seeds alone: ${followed.join(", ")}.` : "",
      ].join(" ")
      : `These results hold ${saved} policies of seed ${seed.value} over training; the slider goes through them.`;
    say();
    for (const arm of arms) {
      plots[arm].lacking.textContent = run(arm) ? "" : `${labels[arm]}: this arm was not run with this seed.`;
      for (const plot of [plots[arm].policy, plots[arm].slack]) {
        if (!run(arm)) Plotly.purge(plot);
        plot.hidden = !run(arm);
      }
      if (run(arm)) {
        drawPolicy(arm);
        drawSlack(arm);
      }
    }
    explain();
  };

  const explain = () => {
    key(element("regression-key"), [
      ...arms.map((arm) => [labels[arm], "line", stroke(colours[arm], 3)]),
      ["published policy", "line", stroke(colours.published, 7, "opacity: 0.5")],
      ["target f", "line", stroke(look("ink"), 1.5, "stroke-dasharray: 2 3")],
      [`limits ±${view.bound}`, "line", stroke(look("ink"), 1.5, "stroke-dasharray: 6 4")],
      ["within the limits", "area", `fill: ${tint(colours.set, 0.35)}`],
      ["unsafe iterate", "cross", stroke(look("ink"), 2)],
    ]);
  };

  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (time.value === time.max) time.value = 0;
    play.textContent = "Pause";
    timer = setInterval(() => {
      time.value = Number(time.value) + 1;
      move();
      if (time.value === time.max) stop();
    }, 120);
    return move();
  });
  next.addEventListener("click", () => {
    stop();
    const places = unsafeEpochs().map((epoch) => stops.indexOf(epoch)).sort((a, b) => a - b);
    time.value = places.find((place) => place > Number(time.value)) ?? places[0];
    move();
  });
  const judged = arms.filter((arm) => arm !== BASELINE).map((arm) => view.arms[arm]);
  const offered = explorer.seeds(Object.values(view.arms), judged);
  const group = (label, kept) => {
    const entries = offered.filter(([name]) => isFollowed(name) === kept);
    return entries.length ? [make("optgroup", { label }, ...entries.map(([value, text]) => new Option(text, value)))] : [];
  };
  seed.append(...group("policy over training", true), ...group("final policy only", false));
  seed.addEventListener("change", () => {
    stop();
    all();
  });
  time.addEventListener("input", move);
  time.value = time.max;
  const total = arms.map((arm) => explorer.unsafe(labels[arm], view.counts[arm]));
  element("total").textContent = `Unsafe iterates, all seeds together: ${total.join(", ")}.`;
  const widest = Math.max(...arms.flatMap((arm) => [...decode(Object.values(view.arms[arm])[0].series.updates)]));
  element("bins").textContent = [
    `The slack of an iterate is the distance to the nearest limit over the ${view.grid} points of the constraint's grid.`,
    widest > 1
      ? `In the lower panels a point is the least slack among up to ${widest} successive iterates: no unsafe one is hidden.`
      : "In the lower panels a point is an iterate.",
    "A cross marks every point with an unsafe iterate; the list of seeds marks those at which SCPO had one.",
    "The vertical line marks where the slider is.",
  ].join(" ");
  explorer.views.regression = all;
})();
