// Models: the stream of models, compared and with their descent.

import * as api from "../api.js";
import { chart, discard } from "../chart.js";
import { TURNS, clock, count, empty, figure, h, many, pager, percent, table, turned } from "../dom.js";

const TAGS = { passed: "good", "not passed": "bad", baseline: "info", retired: "", "not judged": "" };

const name = (one) => [one.model, one.served ? [" ", h("span", { class: "tag info" }, "served")] : ""];

function descent(one) {
  const from = one.parents.length ? ` from ${one.parents.join(", ")}` : "";
  return `${one.origin}${from}`;
}

export default {
  id: "models", title: "Models", key: "m",
  parts: ["models", "ci", "picker"],
  keys: [TURNS],
  open(root, context) {
    let start = 0;
    const turn = (to) => { start = to; context.read(); };
    return {
      root,
      load: () => api.get(api.of(context.app, `models?start=${start}`)),
      show(content) {
        discard(root);
        const { models: rows, stream, running, training } = content;
        const others = training > running.length ? ` and ${count(training - running.length)} more` : "";
        const head = h("div", { class: "title" }, h("h1", {}, "Models"), h("p", { class: "dim" }, `${many(content.all, "model")}${training ? `; in training: ${running.join(", ")}${others}` : ""}`));
        if (!rows.length) {
          root.replaceChildren(head, empty(training ? "The first models are being trained." : "No models yet.", h("p", {}, "Training begins when training and validation rows are there.")));
          return;
        }
        root.replaceChildren(head, h("div", { class: "stack" },
          h("section", { class: "card" }, chart({
            id: "stream", title: `Accuracy on validation rows, in the order of publication${content.all > stream.models.length ? ` (the newest ${count(stream.models.length)})` : ""}`,
            x: { label: "model", values: stream.models.map((_, place) => place), names: stream.models }, y: { percent: true, high: 1 },
            series: [
              { label: "accuracy", values: stream.accuracy, points: "only" },
              { label: "best so far", values: stream.best, step: true, colour: "c3" },
            ],
            levels: [{ label: `target ${percent(content.target, 0)}`, y: content.target }],
          })),
          h("section", { class: "card" }, h("h2", {}, "Comparison"), table("Models, the newest first", [
            ["model", "id", name],
            ["accuracy", "num", (one) => percent(one.accuracy)],
            ["verdict", "", (one) => h("span", { class: `tag ${TAGS[one.verdict]}`, title: one.retired ?? null }, one.verdict)],
            ["origin", "", descent],
            ["training seconds", "num", (one) => (one.metrics.cpu_seconds === undefined ? "not known" : one.metrics.cpu_seconds.toFixed(2))],
            ["size", "num", (one) => (one.size ? `${count(Math.ceil(one.size / 1000))} kB` : "external")],
            ["published", "num", (one) => clock(one.at)],
          ], rows), content.count > content.page ? pager(content, rows.length, turn, content.all) : ""),
          content.failures.length ? h("section", { class: "card" }, h("h2", {}, "Failed trainings"), table("Failed trainings, the newest first", [
            ["algorithm", "id", (one) => one.algorithm], ["when", "", (one) => clock(one.at)], ["why", "", (one) => one.error],
          ], content.failures)) : ""));
      },
      key: turned,
    };
  },
};
