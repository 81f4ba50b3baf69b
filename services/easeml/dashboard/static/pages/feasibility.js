// Feasibility: can these data reach the target at all?

import * as api from "../api.js";
import { chart, discard } from "../chart.js";
import { command, count, empty, facts, h, many, percent, table } from "../dom.js";

const ANSWERS = {
  realistic: ["good", "The target is realistic."],
  undecided: ["warn", "It is not decided yet whether the target is realistic."],
  unrealistic: ["bad", "The target is not realistic with these data."],
};

// All curves on one axis of rows; a curve has no value where another has a point.
function together(curves) {
  const rows = [...new Set(curves.flatMap((one) => one.rows))].sort((a, b) => a - b);
  const place = new Map(rows.map((at, index) => [at, index]));
  return [rows, curves.map((one) => {
    const values = new Array(rows.length).fill(null);
    one.rows.forEach((at, index) => { values[place.get(at)] = one.accuracies[index]; });
    return values;
  })];
}

function figures(study) {
  return facts([
    ["target", percent(study.target)],
    ["best possible, about", `${percent(study.best)} (${percent(study.best_low)} to ${percent(study.best_high)})`],
    ["reached by looking up the most similar row", percent(study.reached)],
    ...(study.model === null ? [] : [["best model so far", percent(study.model)]]),
    ...(study.ceiling === null ? [] : [["approached with more rows of this kind", percent(study.ceiling)]]),
    ...(study.samples_needed === null ? [] : [["rows that reach the target", count(study.samples_needed)]]),
    ...(study.clean_best === null ? [] : [["best possible with right labels", percent(study.clean_best)]]),
    ...(study.labels_to_clean === null ? [] : [["labels to mend for the target", count(study.labels_to_clean)]]),
    ["rows studied", `${count(study.rows)}, ${percent(study.distinct, 0)} of them distinct`],
  ]);
}

function growth(values) {
  return h("section", { class: "card" }, chart({
    id: "growth", title: "Accuracy expected with more labelled rows", height: 220,
    x: { label: "labelled rows", values: values.rows }, y: { percent: true, high: 1 },
    series: [{ label: "accuracy", values: values.accuracies }], marks: [{ label: "now", x: values.now }],
  }));
}

export default {
  id: "feasibility", title: "Feasibility", key: "f",
  parts: ["feasibility", "values", "app"],
  open(root, context) {
    return {
      root,
      load: () => api.get(api.of(context.app, "feasibility")),
      show(content) {
        discard(root);
        const { study, values } = content;
        const head = h("div", { class: "title" }, h("h1", {}, "Feasibility"), study ? h("p", { class: "dim" }, study.final ? "a belief about the data, not a guarantee" : "the study is under way") : "");
        if (!study) {
          root.replaceChildren(head, empty("No study yet.", h("p", {}, "It begins with the first labelled training rows:"), command(`easeml publish ${context.app} FILE`)));
          return;
        }
        const [tone, answer] = ANSWERS[study.signal];
        const drawn = study.curves.filter((one) => one.rows.length);
        const [rows, curves] = together(drawn);
        root.replaceChildren(head, h("div", { class: "stack" },
          h("section", { class: `card answer ${tone}` }, h("h2", {}, study.final ? answer : `So far: ${answer.toLowerCase()}`), figures(study)),
          rows.length ? h("section", { class: "card" }, chart({
            id: "curves", title: `Accuracy by looking up the most similar row, per transformation${study.curves.length > drawn.length ? ` (the best ${drawn.length} of ${many(study.curves.length, "transformation")})` : ""}`,
            x: { label: "rows read", values: rows }, y: { percent: true, high: 1 }, height: 320,
            series: drawn.map((one, place) => ({ label: one.transformation, values: curves[place] })),
            levels: [{ label: `target ${percent(study.target)}`, y: study.target }],
          })) : "",
          h("div", { class: "grid" }, values ? growth(values) : "",
            h("section", { class: "card" }, h("h2", {}, "Transformations"), table("Transformations, the best first", [
              ["transformation", "id", (one) => [one.transformation, one.state === "done" ? "" : [" ", h("span", { class: `tag ${one.state === "running" ? "info" : ""}` }, one.state)]]],
              ["accuracy", "num", (one) => percent(one.accuracy)],
              ["rows read", "num", (one) => percent(one.share, 0)],
            ], study.curves)))));
      },
    };
  },
};
