// Models: the stream of models, compared and with their descent.

import * as api from "../api.js";
import { chart, discard } from "../chart.js";
import { clock, empty, figure, h, many, percent, table } from "../dom.js";

const TAGS = { passed: "good", "not passed": "bad", baseline: "info", retired: "", "not judged": "" };

const name = (one) => [one.model, one.served ? [" ", h("span", { class: "tag info" }, "served")] : ""];

function descent(one) {
  const from = one.parents.length ? ` from ${one.parents.join(", ")}` : "";
  return `${one.origin}${from}`;
}

export default {
  id: "models", title: "Models", key: "m",
  parts: ["models", "ci", "picker"],
  open(root, context) {
    return {
      root,
      load: () => api.get(api.of(context.app, "models")),
      show(content) {
        discard(root);
        const rows = content.models;
        const head = h("div", { class: "title" }, h("h1", {}, "Models"), h("p", { class: "dim" }, `${many(content.count, "model")}${content.running.length ? `; in training: ${content.running.join(", ")}` : ""}`));
        if (!rows.length) {
          root.replaceChildren(head, empty(content.running.length ? "The first models are being trained." : "No models yet.", h("p", {}, "Training begins when training and validation rows are there.")));
          return;
        }
        const order = rows.map((_, place) => place);
        root.replaceChildren(head, h("div", { class: "stack" },
          h("section", { class: "card" }, chart({
            id: "stream", title: "Accuracy on validation rows, in the order of publication",
            x: { label: "model", values: order, names: rows.map((one) => one.model) }, y: { percent: true, high: 1 },
            series: [
              { label: "model", values: rows.map((one) => one.accuracy), points: "only" },
              { label: "best so far", values: rows.map((one) => one.best), step: true, colour: "c3" },
            ],
            levels: [{ label: `target ${percent(content.target, 0)}`, y: content.target }],
          })),
          h("section", { class: "card" }, h("h2", {}, "Comparison"), table("Models, the newest first", [
            ["model", "id", name],
            ["accuracy", "num", (one) => percent(one.accuracy)],
            ["verdict", "", (one) => h("span", { class: `tag ${TAGS[one.verdict]}`, title: one.retired ?? null }, one.verdict)],
            ["origin", "", descent],
            ["training seconds", "num", (one) => figure(one.metrics.cpu_seconds)],
            ["size", "num", (one) => (one.size ? `${figure(Math.round(one.size / 1000))} kB` : "external")],
            ["published", "num", (one) => clock(one.at)],
          ], [...rows].reverse())),
          content.failures.length ? h("section", { class: "card" }, h("h2", {}, "Failed trainings"), table("Failed trainings, the newest first", [
            ["algorithm", "id", (one) => one.algorithm], ["when", "", (one) => clock(one.at)], ["why", "", (one) => one.error],
          ], content.failures)) : ""));
      },
    };
  },
};
