"use strict";
// View (b): the regression's policies and slacks over training, one column for each arm.

(() => {
  const { axis, count, decode, draw, element, heading, key, level } = explorer;
  const { look, make, number, options, row, stroke, tint } = explorer;
  const view = explorer.data.views.regression;
  if (!view) {
    element("regression").replaceChildren(make("p", {}, "This scale runs none of the arms that are shown here."));
    return;
  }
  const colours = explorer.data.colours;
  const labels = explorer.data.labels;
  const arms = Object.keys(view.arms);
  const [seed, time, play] = ["seed", "time", "play"].map(element);
  const { scale, ticks } = explorer.symlog(1e-5);

  // Both arms share the axes, so that their heights can be compared.
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
    element("curves").append(make("div", {}, plots[arm].policy, plots[arm].slack));
  }

  const run = (arm) => view.arms[arm][seed.value];

  // Return the row of the saved policy shown, and the evaluation of the same iterate.
  const moment = (arm) => {
    const saved = run(arm).policies.evaluations;
    const epochs = decode(run(arm).evaluations.epoch);
    if (saved[0] === -1) return { row: 0, evaluation: epochs.length - 1, epoch: epochs[epochs.length - 1] };
    const index = Math.min(Number(time.value), saved.length - 1);
    return { row: index, evaluation: saved[index], epoch: epochs[saved[index]] };
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
    const shown = row(policies.pi, moment(arm).row);
    traces.push(line(decode(policies.x), shown, { color: colours[arm], width: 2.2 }, hover));
    const limit = { color: ink, width: 1, dash: "dash" };
    const sides = [-view.bound, 0, view.bound];
    return draw(plots[arm].policy, traces, {
      title: heading(`<b>${labels[arm]}</b>`, 15),
      xaxis: axis("input x", { range: [-Math.PI, Math.PI], tickvals: [-Math.PI, 0, Math.PI], ticktext: ["−π", "0", "π"] }),
      yaxis: axis("policy", { range: [-2.4, 2.4], tickvals: sides, ticktext: sides.map(number) }),
      shapes: [band(-view.bound, view.bound, tint(colours.set, 0.25)), level(-view.bound, limit), level(view.bound, limit)],
    });
  };

  const drawSlack = (arm) => {
    const { series, unsafe, updates } = run(arm);
    const [epoch, slack, bad, held] = [series.epoch, series.slack, series.unsafe, series.updates].map(decode);
    const scaled = Array.from(slack, scale);
    const text = Array.from(slack, (value, bin) => `least slack ${number(value)}<br>${bad[bin]} of ${held[bin]} unsafe`);
    const hovertemplate = "epoch %{x:.0f}<br>%{text}<extra></extra>";
    const at = Array.from(epoch.keys()).filter((bin) => bad[bin] > 0);
    const marks = {
      x: at.map((bin) => epoch[bin]),
      y: at.map((bin) => scaled[bin]),
      text: at.map((bin) => text[bin]),
      hovertemplate,
      mode: "markers",
      marker: { symbol: "x-thin", size: 7, line: { color: look("ink"), width: 1.3 } },
    };
    const least = line(epoch, scaled, { color: colours[arm], width: 1.5 }, { text, hovertemplate, hoverinfo: "all" });
    const last = Math.max(...arms.map((one) => decode(run(one).series.epoch).at(-1)));
    const note = { text: "unsafe", showarrow: false, font: { color: look("soft"), size: 12 } };
    const corner = { x: 1, xref: "paper", xanchor: "right", y: range[0], yanchor: "bottom" };
    return draw(plots[arm].slack, [marks, least], {
      title: heading(`${count(unsafe)} of ${count(updates)} iterates unsafe`),
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
    const told = arms.map((arm) => {
      const { evaluation } = moment(arm);
      const { loss, slack, update } = run(arm).evaluations;
      const held = decode(slack)[evaluation];
      return [
        `${labels[arm]}: update ${count(decode(update)[evaluation])}`,
        `loss on fresh inputs ${number(decode(loss)[evaluation])}`,
        `least slack on ${count(view.heldout)} held-out points ${number(held)}${held < 0 ? ", unsafe" : ""}`,
      ].join(", ");
    });
    element("moment").textContent = `Epoch ${count(moment(arms[0]).epoch)}. ${told.join(". ")}.`;
    time.setAttribute("aria-valuetext", `epoch ${count(moment(arms[0]).epoch)}`);
  };

  // Redraw what the slider moves.
  const move = () => {
    say();
    for (const arm of arms) {
      drawPolicy(arm);
      Plotly.relayout(plots[arm].slack, { shapes: slackShapes(arm) });
    }
  };

  const all = () => {
    const saved = Math.max(...arms.map((arm) => run(arm).policies.evaluations.length));
    time.max = saved - 1;
    time.disabled = play.disabled = saved < 2;
    element("kept").textContent = saved < 2
      ? `These results hold only the final policy of seed ${seed.value}: the slider rests. The slack is that of all iterates.`
      : `These results hold ${saved} policies of seed ${seed.value} over training; the slider goes through them.`;
    say();
    for (const arm of arms) {
      drawPolicy(arm);
      drawSlack(arm);
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
  const seeds = Object.keys(view.arms[arms[0]]).filter((one) => arms.every((arm) => one in view.arms[arm]));
  options(seed, seeds.map((one) => [one, one]));
  seed.addEventListener("change", () => {
    stop();
    all();
  });
  time.addEventListener("input", move);
  time.max = Math.max(...arms.map((arm) => run(arm).policies.evaluations.length)) - 1;
  time.value = time.max;
  const total = arms.map((arm) => {
    const runs = Object.values(view.arms[arm]);
    const sum = (name) => count(runs.reduce((total, one) => total + one[name], 0));
    return `${sum("unsafe")} of ${sum("updates")} (${labels[arm]})`;
  });
  element("total").textContent = `Unsafe iterates, all seeds together: ${total.join(", ")}.`;
  const widest = Math.max(...decode(run(arms[0]).series.updates));
  element("bins").textContent = [
    `The slack of an iterate is the distance to the nearest limit over the ${view.grid} points of the constraint's grid.`,
    widest > 1
      ? `In the lower panels a point is the least slack among up to ${widest} successive iterates: no unsafe one is hidden.`
      : "In the lower panels a point is an iterate.",
    "A cross marks every point with an unsafe iterate.",
    "The vertical line marks the iterate shown above.",
  ].join(" ");
  explorer.views.regression = all;
})();
