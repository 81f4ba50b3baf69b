// Picker: which model is believed to be the best for the rows of these days, and what that belief has cost.

import * as api from "../api.js";
import { chart, discard } from "../chart.js";
import { TURNS, clock, count, empty, figure, gauge, h, many, pager, percent, table, turned } from "../dom.js";

const SAID = 12; // drift alarms whose marks have room for a word

// The newest pick holds on: it is drawn a little beyond its beginning.
// Before there are production rows, picks are only told apart by their number.
function charts({ picks, rows, labels, drift, lines, others }, granted) {
  const on = (values) => [...values, values.at(-1)];
  const [label, begun] = rows.at(-1) > rows[0] ? ["production rows", rows] : ["pick", picks];
  const x = { label, values: [...begun, begun.at(-1) + Math.max(1, Math.round(0.03 * (begun.at(-1) - begun[0])))] };
  const marks = drift.map((place) => ({ label: drift.length > SAID ? "" : "drift", x: begun[place] }));
  return [
    chart({
      id: "belief", title: `Belief that a model is the best${others ? ` (${many(others, "other model")} not drawn)` : ""}`,
      x, y: { percent: true, whole: [0, 1] }, height: 320, marks,
      series: lines.map((one) => ({ label: one.model, values: on(one.belief), step: true })),
    }),
    chart({
      id: "labels", title: "Labels behind the picks", x, y: { low: 0 }, height: 220, marks,
      series: [{ label: "labels used", values: on(labels) }],
      levels: granted ? [{ label: `${figure(granted)} granted`, y: granted }] : [],
    }),
  ].map((one) => h("section", { class: "card" }, one));
}

export default {
  id: "picker", title: "Picker", key: "p",
  parts: ["picker", "questions", "app"],
  keys: [TURNS],
  open(root, context) {
    let start = 0;
    const turn = (to) => { start = to; context.read(); };
    return {
      root,
      load: () => api.get(api.of(context.app, `picker?start=${start}`)),
      show(content) {
        discard(root);
        const { picks, last } = content;
        const head = h("div", { class: "title" }, h("h1", {}, "Picker"), last ? h("p", { class: "dim" }, "now serves ", h("strong", {}, last.model), `, believed to be the best with ${percent(last.belief, 0)}`) : "");
        if (!last) {
          root.replaceChildren(head, empty("No pick yet.", h("p", {}, "The first model that passes the condition is served. When two have passed, people are asked about the rows on which they disagree.")));
          return;
        }
        const drifts = content.chart.drift.length;
        const [belief, labels] = content.count > 1 ? charts(content.chart, content.granted) : [h("p", { class: "card dim" }, "Nothing to choose between yet: beliefs are drawn from the second pick on.")];
        root.replaceChildren(head, h("div", { class: "stack" },
          belief,
          h("div", { class: "grid" }, labels ?? "",
            h("section", { class: "card" }, h("h2", {}, "Spending"),
              gauge("labels", content.spent, content.granted, `${figure(content.spent)} of ${figure(content.granted)} spent`),
              gauge("production rows", last.rows, content.horizon, `${count(last.rows)} of ${count(content.horizon)} planned for`),
              h("p", { class: "dim" }, `${many(content.all, "pick")}; ${many(drifts, "drift alarm")}${content.all > content.count ? ` among the newest ${count(content.count)}` : ""}.`))),
          h("section", { class: "card" }, h("h2", {}, "Picks"), table("Picks, the newest first", [
            ["pick", "num", (one) => count(one.period)],
            ["model", "id", (one) => one.model],
            ["belief", "num", (one) => percent(one.belief, 0)],
            ["labels", "num", (one) => count(one.labels)],
            ["rows", "num", (one) => count(one.rows)],
            ["", "", (one) => (one.drift ? h("span", { class: "tag bad" }, "drift") : "")],
            ["when", "num", (one) => clock(one.at)],
          ], picks), content.count > content.page ? pager(content, picks.length, turn, content.all) : "")));
      },
      key: turned,
    };
  },
};
