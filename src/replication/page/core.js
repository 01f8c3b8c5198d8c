"use strict";
// What the views share: the data, colours, plots, numbers in print and the tabs.  `explorer` is the page's only global.

const explorer = { views: {}, shown: {} };

explorer.data = JSON.parse(document.getElementById("data").textContent);

// Return an array as Python encoded it; one that occurs several times stands in a list.
explorer.whole = (encoded) => ("same" in encoded ? explorer.data.arrays[encoded.same] : encoded);

// Return the numbers of an array that Python encoded, as a typed array.
explorer.decode = (encoded) => {
  const { type, bytes } = explorer.whole(encoded);
  const raw = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
  const kinds = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array };
  return new kinds[type](raw.buffer);
};

// Return row `index` of a two-dimensional encoded array; a negative index counts from the end.
explorer.row = (encoded, index) => {
  const [rows, width] = explorer.whole(encoded).shape;
  const at = index < 0 ? rows + index : index;
  return explorer.decode(encoded).subarray(at * width, (at + 1) * width);
};

explorer.element = (id) => document.getElementById(id);

// Return a text in which no line ends before a per cent sign or within "not-run".
explorer.unbroken = (text) => text.replaceAll(" %", "\u00a0%").replaceAll("not-run", "not\u2011run");

// Return a new element with attributes and children (elements or text).
explorer.make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map((one) => (typeof one === "string" ? explorer.unbroken(one) : one)));
  return made;
};

// Fill a select with [value, text] pairs; keep the chosen value where it is still offered.
explorer.options = (select, pairs) => {
  const before = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
  if (pairs.some(([value]) => String(value) === before)) select.value = before;
};

// Return the seeds of some arms (seed -> run) as entries of a select; seeds of unsafe or failed runs of `judged` say so.
explorer.seeds = (arms, judged) => {
  const is = (seed, kind) => judged.some((arm) => arm[seed]?.[kind]);
  const mark = (seed) => (is(seed, "failed") ? " (failed)" : is(seed, "unsafe") ? " (unsafe)" : "");
  const seeds = [...new Set(arms.flatMap(Object.keys))].sort((a, b) => a - b);
  return seeds.map((seed) => [seed, `${seed}${mark(seed)}`]);
};

// Return how many iterates of an arm were unsafe, and how many of its runs failed, as a line of text.
explorer.unsafe = (label, { unsafe, updates, failed }) => {
  const runs = failed ? `, with ${explorer.count(failed)} failed run${failed > 1 ? "s" : ""}` : "";
  return `${explorer.count(unsafe)} of ${explorer.count(updates)} (${label}${runs})`;
};

explorer.count = (value) => value.toLocaleString("en-US");

// Return a value to three significant digits, small and large ones as powers of ten.
explorer.number = (value) => {
  if (!Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e4)) {
    const [digits, power] = value.toExponential(1).split("e");
    return `${digits.replace("-", "−")}·10${explorer.superscript(Number(power))}`;
  }
  return String(Number(value.toPrecision(3))).replace("-", "−");
};

// Return the number or the comparison of a verdict with the signs of print.
explorer.pretty = (text) => {
  const powers = text.replace(/e-0*(\d+)/g, (_, power) => `·10${explorer.superscript(-power)}`);
  return powers.replace("<=", "≤").replace(">=", "≥").replace("+-", "±").replaceAll("-", "−");
};

explorer.superscript = (power) => {
  const digits = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  return [...String(power)].map((one) => digits[one]).join("");
};

// Return a colour of the page's look, light or dark.
explorer.look = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Return a colour of the data as that of an area, with an opacity from 0 to 1; on dark ground areas are fainter.
explorer.tint = (colour, opacity) => {
  const parts = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return `rgba(${parts.join(", ")}, ${opacity * Number(explorer.look("wash"))})`;
};

// Return an axis in the page's look.
explorer.axis = (title, more = {}) => ({
  title: { text: title, standoff: 8 },
  color: explorer.look("ink"),
  gridcolor: explorer.look("line"),
  linecolor: explorer.look("soft"),
  showgrid: false,
  showline: true,
  zeroline: false,
  ticks: "outside",
  ticklen: 4,
  fixedrange: true,
  ...more,
});

// Draw a plot, or redraw it.
explorer.draw = (node, traces, layout) => {
  const base = {
    paper_bgcolor: "rgba(0, 0, 0, 0)",
    plot_bgcolor: "rgba(0, 0, 0, 0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: explorer.look("ink") },
    margin: { l: 70, r: 10, t: 34, b: 44 },
    showlegend: false,
    dragmode: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: explorer.look("panel"), font: { color: explorer.look("ink") } },
    ...layout,
  };
  return Plotly.react(node, traces, base, { displayModeBar: false, responsive: true });
};

// Return a title above the left end of a plot.
explorer.heading = (text, size = 13) => ({ text, x: 0, xref: "paper", xanchor: "left", font: { size } });

// Return a straight line across a whole plot, at a height.
explorer.level = (y, line) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line });

// Return the style of a line in a key.
explorer.stroke = (colour, width, more = "") => `stroke: ${colour}; stroke-width: ${width}; fill: none; ${more}`;

// Explain lines and marks: [label, "line" | "area" | "cross" | "dot", style of the svg].
explorer.key = (node, entries) => {
  const shapes = {
    line: (style) => `<line x1="0" x2="29" y1="8" y2="8" style="${style}"/>`,
    area: (style) => `<rect x="0" y="1" width="29" height="12" style="${style}"/>`,
    cross: (style) => `<path d="M9 2 L20 13 M20 2 L9 13" style="${style}"/>`,
    dot: (style) => `<circle cx="14" cy="8" r="5.5" style="${style}"/>`,
  };
  const picture = (shape, style) => `<svg viewBox="0 0 29 13" aria-hidden="true">${shapes[shape](style)}</svg>`;
  node.innerHTML = entries.map(([label, shape, style]) => `<span>${picture(shape, style)}${label}</span>`).join("");
};

// A symmetric logarithm: linear below `threshold`, decades above, so that tiny slacks and large violations both show.
explorer.symlog = (threshold) => {
  const scale = (value) => Math.sign(value) * Math.log10(1 + Math.abs(value) / threshold);
  const ticks = (low, high, every) => {
    const values = [0];
    for (let power = Math.round(Math.log10(threshold)) + every; power <= 2; power += every) {
      values.push(10 ** power, -(10 ** power));
    }
    const kept = values.filter((value) => value >= low && value <= high);
    const size = (value) => (value === 1 ? "1" : `10${explorer.superscript(Math.round(Math.log10(value)))}`);
    const text = (value) => (value === 0 ? "0" : `${value < 0 ? "−" : ""}${size(Math.abs(value))}`);
    return { tickmode: "array", tickvals: kept.map(scale), ticktext: kept.map(text) };
  };
  return { scale, ticks };
};

// Show one view; draw it when it is first seen.
explorer.show = (name) => {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    explorer.element(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  explorer.shown[name] = true;
  explorer.views[name]?.();
};
