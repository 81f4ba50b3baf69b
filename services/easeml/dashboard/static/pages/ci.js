// CI: which models passed the condition, what the condition costs, and how worn the test set is.

import * as api from "../api.js";
import { chart, discard } from "../chart.js";
import { TURNS, clock, command, count, empty, facts, figure, gauge, h, many, pager, percent, table, turned } from "../dom.js";

const TAGS = { passed: "good", "not passed": "bad", baseline: "info", retired: "" };

const MODES = { "fp-free": "What cannot be decided does not pass.", "fn-free": "What cannot be decided passes." };
const ADAPTIVITY = {
  full: "Developers see each verdict before the next model.",
  none: "Developers see no verdict before the test set is used up.",
  first_change: "The first pass ends the test set.",
};

// Stays open while news come in; its words are drawn when somebody wants them.
function words(found, reading) {
  const fill = (box) => { if (box.childElementCount === 1) box.append(...found.page.flatMap(answer).flat().filter(Boolean)); };
  const box = h("details", { open: reading.open, ontoggle: () => { reading.open = box.open; if (box.open) fill(box); } },
    h("summary", {}, "What this means, in plain words"));
  if (reading.open) fill(box);
  return box;
}

function plan(content, reading) {
  const found = content.plan;
  if (found.error) return h("section", { class: "card" }, h("h2", {}, "Plan"), h("p", { class: "bad" }, found.error));
  return h("section", { class: "card" }, h("h2", {}, "Plan"), facts([
    ["labels at worst", count(found.labels_worst)],
    ["labels expected", count(found.labels_expected)],
    ["test rows needed", count(found.rows)],
    ["models one test set may judge", count(found.steps)],
    ["labels by the published formula", count(found.reference)],
  ]), words(found, reading), h("p", { class: "dim" }, `Reliability ${content.reliability} over all of them. ${MODES[content.mode]} ${ADAPTIVITY[content.adaptivity]}`));
}

const answer = (one) => [
  h("h3", {}, one.question),
  one.text.map((paragraph) => h("p", {}, paragraph)),
  one.table.length ? table(one.question, one.table[0].map((title, place) => [title, place ? "num" : "", (row) => row[place]]), one.table.slice(1)) : "",
];

// How far validation and the hidden test set lie apart, as one of a few ranges: all that developers may know of it.
function drift(readings, steps) {
  if (!readings.length) return "";
  const now = readings[readings.length - 1];
  const text = `validation and reality lie ${percent(now.low, 0)} to ${percent(now.high, 0)} apart, at most ${percent(now.at_most, 0)}`;
  return h("div", { class: "gauge", id: "drift" },
    h("div", { class: "gauge-text" }, h("span", {}, "overfitting"), h("span", { class: "num" }, `level ${now.level + 1}`)),
    h("meter", { min: 0, max: 0.15, low: 0.02, high: 0.05, optimum: 0, value: Math.min((now.low + now.high) / 2, 0.15), "aria-label": `overfitting: ${text}` }, text),
    h("p", {}, `${text[0].toUpperCase()}${text.slice(1)} (after `, h("code", {}, now.model), `, step ${now.step}${steps === null ? "" : ` of ${steps}`}). Before: ${readings.length > 1 ? readings.slice(-9, -1).map((one) => `level ${one.level + 1}`).join(", ") : "nothing"}.`));
}

function meter(one, last) {
  const head = h("div", { class: "step-head" }, h("h2", {}, `Test set ${one.epoch}`), one.worn ? h("span", { class: "tag warn" }, "worn out") : last ? h("span", { class: "tag good" }, "in use") : "", h("span", { class: "dim service" }, clock(one.since)));
  return h("section", { class: "card" }, head,
    one.examples === null ? "" : h("p", {}, `${count(one.examples)} rows for ${many(one.steps, "model")}; ${count(one.planned)} labels planned at worst.`),
    one.examples === null ? "" : gauge("power: rows there, of those planned", Math.min(one.examples, one.planned), one.planned, percent(one.examples / one.planned, 0)),
    one.steps === null ? "" : gauge("models judged", one.used_steps, one.steps, `${count(one.used_steps)} of ${count(one.steps)}`),
    one.passes === null ? "" : gauge("passes used", one.passed, one.passes, `${count(one.passed)} of ${count(one.passes)}, ${count(Math.max(0, one.passes - one.passed))} left`),
    one.labels === undefined || one.examples === null ? "" : gauge("labels bought", one.labels, one.examples, `${count(one.labels)} of ${count(one.examples)}`),
    drift(one.readings, one.steps),
    one.worn ? h("p", { class: "do" }, `${one.worn} Its rows may become development data; a new one is needed.`) : "");
}

function intervals(rows) {
  const known = rows.filter((row) => row.low !== null && row.high !== null);
  if (!known.length) return "";
  return h("section", { class: "card" }, chart({
    id: "intervals", title: "Intervals of the accuracy on the test set (n), in the order of the verdicts", x: { label: "model", values: known.map((_, place) => place), names: known.map((row) => row.model) }, y: { percent: true, low: 0, high: 1 },
    series: [
      { label: "low", values: known.map((row) => row.low), points: "only", colour: "c8" },
      { label: "high", values: known.map((row) => row.high), points: "only", colour: "c8" },
    ],
    whiskers: known.map((row, place) => ({ x: place, low: row.low, high: row.high, colour: row.signal ? "good" : "bad" })),
  }));
}

const span = (ends) => (ends?.every((end) => end !== null) ? `${percent(ends[0])} to ${percent(ends[1])}` : "");

function history(content, turn) {
  const columns = [
    ["model", "id", (row) => row.model],
    ["verdict", "", (row) => [h("span", { class: `tag ${TAGS[row.verdict]}` }, row.verdict), row.outcome === "undecided" ? h("span", { class: "dim" }, " undecided") : ""]],
    ["baseline", "id", (row) => row.baseline ?? ""],
    ...(content.details ? [
      ["accuracy", "num", (row) => span(row.intervals?.new)],
      ["differ", "num", (row) => span(row.intervals?.differ)],
      ["clauses", "clauses", (row) => (row.clauses ?? []).map((one) => h("div", {}, h("code", {}, one.clause), ` ${one.truth}${span(one.interval) && `, in ${one.interval.map(figure).join(" to ")}`}`))],
      ["labels new, reused", "num", (row) => (row.labels_used === undefined ? "" : `${count(row.labels_used)}, ${count(row.labels_reused)}`)],
      ["steps left", "num", (row) => (row.histories_left === undefined ? "" : figure(row.histories_left))],
      ["alarm", "", (row) => (row.alarm ? h("span", { class: "tag warn", title: row.alarm }, "alarm") : "")],
    ] : []),
    ["when", "num", (row) => clock(row.at)],
  ];
  return h("section", { class: "card" }, h("h2", {}, "Verdicts"), table("Verdicts, the newest first", columns, content.verdicts), content.count > content.page ? pager(content, content.verdicts.length, turn, content.all) : "");
}

export default {
  id: "ci", title: "CI", key: "c",
  parts: ["ci", "models", "app", "data"],
  keys: [TURNS],
  open(root, context) {
    let details = false, start = 0;
    const turn = (to) => { start = to; context.read(); };
    const reading = { open: false };
    const owner = context.session.rights.includes("details");
    const page = {
      root,
      load: () => api.get(api.of(context.app, `ci?start=${start}&details=${details ? 1 : 0}`)),
      show(content) {
        discard(root);
        const rows = content.verdicts;
        const toggle = owner ? h("label", { class: "toggle" }, h("input", { id: "details", type: "checkbox", checked: details, onchange: (event) => { details = event.target.checked; context.read(); } }), " show what only the test set's owner may see") : "";
        root.replaceChildren(
          h("div", { class: "title" }, h("h1", {}, "CI"), h("p", { class: "dim" }, rows.length ? `${count(content.passed)} of ${many(content.all, "model")} passed ` : "condition ", h("code", {}, content.condition)), toggle),
          h("div", { class: "stack" },
            content.needed ? h("section", { class: "card answer warn" }, h("h2", {}, content.waiting ? `${many(content.waiting, "model waits", "models wait")} for test rows` : "The next model needs a new test set"), h("p", {}, `${content.needed.reason} ${content.needed.examples ? `${count(content.needed.examples)} labelled rows are needed.` : ""}`), command(`easeml publish ${context.app} FILE --pillar test`)) : "",
            h("div", { class: "grid" }, [...content.testsets].reverse().map((one, place) => meter(one, place === 0)), plan(content, reading)),
            details ? intervals(content.intervals) : "",
            rows.length ? history(content, turn) : empty("No verdicts yet.", h("p", {}, "Each model is judged once, on predictions for the test rows. The first becomes the baseline."))));
      },
      key: turned,
    };
    return page;
  },
};
