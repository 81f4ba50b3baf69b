// Charts: uPlot in the page's colours, with words beside each for those who do not see it.

import uPlot from "./vendor/uPlot.esm.js";
import { figure, h } from "./dom.js";

const living = new Set();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const STEPS = Array.from({ length: 10 }, (_, place) => [1, 2, 5].map((step) => step * 10 ** place)).flat();
const COLOURS = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];

// Ends the charts inside an element; a chart that has left the page would still listen to its size.
export function discard(root) {
  for (const one of [...living]) {
    if (root.contains(one.box) || !one.box.isConnected) { one.end(); living.delete(one); }
  }
}

// Lines across the chart: levels {label, y} and marks {label, x}, and whiskers {x, low, high, colour}.
function drawn({ levels = [], marks = [], whiskers = [] }) {
  return (plot) => {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.lineWidth = 1.5 * ratio;
    const line = (x1, y1, x2, y2) => { ctx.beginPath(); ctx.moveTo(x1, y1); ctx.lineTo(x2, y2); ctx.stroke(); };
    const told = (text, x, y, name) => {
      ctx.fillStyle = colour("card");
      ctx.fillRect(x - 2 * ratio, y - 11 * ratio, ctx.measureText(text).width + 4 * ratio, 14 * ratio);
      ctx.fillStyle = colour(name);
      ctx.fillText(text, x, y);
    };
    for (const { label, y } of levels) {
      const at = plot.valToPos(y, "y", true);
      ctx.strokeStyle = colour("warn");
      ctx.setLineDash([6 * ratio, 4 * ratio]);
      line(bbox.left, at, bbox.left + bbox.width, at);
      told(label, bbox.left + bbox.width - 6 * ratio - ctx.measureText(label).width, at - 5 * ratio, "warn");
    }
    for (const { label, x } of marks) {
      const at = plot.valToPos(x, "x", true);
      ctx.strokeStyle = colour("bad");
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      line(at, bbox.top, at, bbox.top + bbox.height);
      if (label) told(label, at + 4 * ratio, bbox.top + bbox.height - 6 * ratio, "bad"); // curves are mostly above
    }
    ctx.setLineDash([]);
    ctx.lineWidth = 2 * ratio;
    for (const { x, low, high, colour: name } of whiskers) {
      const [at, from, to] = [plot.valToPos(x, "x", true), plot.valToPos(low, "y", true), plot.valToPos(high, "y", true)];
      ctx.strokeStyle = colour(name);
      line(at, from, at, to);
      line(at - 4 * ratio, from, at + 4 * ratio, from);
      line(at - 4 * ratio, to, at + 4 * ratio, to);
    }
    ctx.restore();
  };
}

// A figure with a chart and, folded away, the same numbers as a table.
// x: {label, values, time, names}, whole numbers unless a time; series: [{label, values, dash, points, step, colour}];
// y: {percent, low, high, whole: [from, to]}
export function chart({ id, title, x, y = {}, series, height = 260, ...across }) {
  const holder = h("div", { class: "plot", role: "img", "aria-label": `Chart: ${title}. The table below holds its numbers.` });
  const box = h("figure", { class: "chart" }, h("figcaption", {}, title), holder, numbers(id, title, x, y, series));
  const value = (number) => (number === null || number === undefined ? "–" : y.percent ? `${(100 * number).toFixed(1)}%` : figure(number));
  const options = {
    width: 300,
    height,
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    legend: { live: true },
    scales: { x: { time: Boolean(x.time), range: x.names ? (_, low, high) => [low - 0.5, high + 0.5] : undefined }, y: { range: (_, low, high) => range(y, low, high, across) } },
    axes: [
      { stroke: colour("dim"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, incrs: x.time ? undefined : STEPS, label: x.time ? undefined : x.label, labelSize: 20, size: 36, values: x.names ? (_, at) => at.map((place) => (Number.isInteger(place) ? place + 1 : "")) : undefined },
      { stroke: colour("dim"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, size: (_, words) => Math.max(52, 18 + 7 * Math.max(0, ...(words ?? []).map((word) => String(word).length))), values: (_, at) => at.map((number) => (y.percent ? `${+(100 * number).toFixed(1)}%` : figure(number))) },
    ],
    series: [
      { label: x.label, value: x.time ? "{HH}:{mm}:{ss}" : (_, number) => (number === null || number === undefined ? "–" : x.names ? x.names[number] : figure(number)) },
      ...series.map((one, place) => {
        const name = colour(one.colour ?? COLOURS[place % COLOURS.length]);
        return {
          label: one.label, stroke: name, width: 2, dash: one.dash, spanGaps: true,
          paths: one.step ? uPlot.paths.stepped({ align: 1 }) : one.points === "only" ? () => null : undefined,
          points: { show: one.points === "only" || Boolean(one.points) || one.values.filter((number) => number !== null).length < 3, size: 7, stroke: name, fill: name },
          value: (_, number) => value(number),
        };
      }),
    ],
    // Nobody points at the chart: the legend tells the newest numbers.
    hooks: { draw: [drawn(across)], setCursor: [(self) => { if (self.cursor.idx === null) self.setLegend({ idx: x.values.length - 1 }); }] },
  };
  const plot = new uPlot(options, [x.values, ...series.map((one) => one.values)], holder);
  plot.setLegend({ idx: x.values.length - 1 });
  const watch = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width > 0) plot.setSize({ width: Math.floor(contentRect.width), height });
  });
  watch.observe(holder);
  living.add({ box, end: () => { watch.disconnect(); plot.destroy(); } });
  return box;
}

function range({ low: least, high: most, whole }, low, high, { levels = [], whiskers = [] }) {
  if (whole) return whole;
  const all = [low, high, ...levels.map((one) => one.y), ...whiskers.flatMap((one) => [one.low, one.high])].filter((number) => Number.isFinite(number));
  if (!all.length) return [0, 1];
  const [from, to] = [Math.min(...all), Math.max(...all)];
  const room = 0.08 * (to - from || Math.abs(to) || 1);
  return [Math.max(least ?? -Infinity, from - room), Math.min(most ?? Infinity, to + room)];
}

function numbers(id, title, x, y, series) {
  const shown = x.values.length > 200 ? x.values.length - 200 : 0;
  const place = (number) => (x.names ? x.names[number] : x.time ? new Date(1000 * number).toLocaleString() : figure(number));
  const cell = (number) => (number === null || number === undefined ? "" : y.percent ? `${(100 * number).toFixed(1)}%` : figure(number));
  const fold = h("details", { id: `${id}-numbers` }, h("summary", {}, "Numbers"));
  // The rows are made when somebody looks: most never do.
  fold.addEventListener("toggle", () => {
    if (!fold.open || fold.querySelector("table")) return;
    fold.append(h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, x.label), series.map((one) => h("th", { scope: "col", class: "num" }, one.label)))),
      h("tbody", {}, x.values.slice(shown).map((at, row) => h("tr", {}, h("td", {}, place(at)), series.map((one) => h("td", { class: "num" }, cell(one.values[shown + row])))))))));
  });
  return fold;
}
