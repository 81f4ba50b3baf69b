// Picker: which model is believed to be the best for the rows of these days, and what that belief has cost.

import * as api from "../api.js";
import { chart, discard } from "../chart.js";
import { clock, count, empty, figure, gauge, h, many, percent, table } from "../dom.js";

export default {
  id: "picker", title: "Picker", key: "p",
  parts: ["picker", "questions", "app"],
  open(root, context) {
    return {
      root,
      load: () => api.get(api.of(context.app, "picker")),
      show(content) {
        discard(root);
        const { picks, lines } = content;
        const last = picks.at(-1);
        const head = h("div", { class: "title" }, h("h1", {}, "Picker"), last ? h("p", { class: "dim" }, "now serves ", h("strong", {}, last.model), `, believed to be the best with ${percent(last.belief, 0)}`) : "");
        if (!last) {
          root.replaceChildren(head, empty("No pick yet.", h("p", {}, "The first model that passes the condition is served. When two have passed, people are asked about the rows on which they disagree.")));
          return;
        }
        // The newest pick holds on: it is drawn a little beyond its beginning.
        const on = (values) => [...values, values.at(-1)];
        const begun = picks.map((one) => one.rows);
        const x = { label: "production rows", values: [...begun, last.rows + Math.max(1, 0.03 * (last.rows - begun[0]))] };
        const marks = picks.filter((one) => one.drift).map((one) => ({ label: "drift", x: one.rows }));
        root.replaceChildren(head, h("div", { class: "stack" },
          h("section", { class: "card" }, chart({
            id: "belief", title: `Belief that a model is the best${content.others ? ` (${many(content.others, "other model")} not drawn)` : ""}`,
            x, y: { percent: true, low: 0, high: 1 }, height: 320, marks,
            series: lines.map((one) => ({ label: one.model, values: on(one.belief), step: true })),
          })),
          h("div", { class: "grid" },
            h("section", { class: "card" }, chart({
              id: "labels", title: "Labels behind the picks", x, y: { low: 0 }, height: 220, marks,
              series: [{ label: "labels used", values: on(picks.map((one) => one.labels)) }],
              levels: content.granted ? [{ label: `${figure(content.granted)} granted`, y: content.granted }] : [],
            })),
            h("section", { class: "card" }, h("h2", {}, "Spending"),
              gauge("labels", content.spent, content.granted, `${figure(content.spent)} of ${figure(content.granted)} spent`),
              gauge("production rows", last.rows, content.horizon, `${count(last.rows)} of ${count(content.horizon)} planned for`),
              h("p", { class: "dim" }, `${many(picks.length, "pick")}, ${many(marks.length, "drift alarm")}.`))),
          h("section", { class: "card" }, h("h2", {}, "Picks"), table("Picks, the newest first", [
            ["pick", "num", (one) => figure(one.period)],
            ["model", "id", (one) => one.model],
            ["belief", "num", (one) => percent(one.belief, 0)],
            ["labels", "num", (one) => count(one.labels)],
            ["rows", "num", (one) => count(one.rows)],
            ["", "", (one) => (one.drift ? h("span", { class: "tag bad" }, "drift") : "")],
            ["when", "num", (one) => clock(one.at)],
          ], [...picks].reverse()))));
      },
    };
  },
};
