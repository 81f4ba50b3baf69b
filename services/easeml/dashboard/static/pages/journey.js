// Journey: the eight steps of an app, where each stands, and what to do next.

import * as api from "../api.js";
import { command, facts, h, isCommand, many, percent, time } from "../dom.js";

const WORDS = { done: "done", working: "at work", attention: "needs you", waiting: "waits" };
const MARKS = { done: "✓", working: "…", attention: "!", waiting: "" };

function advised(step) {
  const sign = step.gain > 0 ? `about ${percent(step.gain)} more accuracy (${percent(step.gain_low)} to ${percent(step.gain_high)})` : "";
  const cost = [step.cost_labels ? many(Math.round(step.cost_labels), "answer") : "", step.cost_minutes >= 1 ? many(Math.round(step.cost_minutes), "minute") : ""].filter(Boolean).join(", ");
  return h("li", {}, h("strong", {}, step.title), sign || cost ? h("span", { class: "dim" }, ` ${[sign, cost && `costs ${cost}`].filter(Boolean).join("; ")}`) : "", h("p", { class: "dim" }, step.reason));
}

// What a person has to do: a command to copy, a page to go to, or a sentence.
function todo(one, context) {
  if (isCommand(one.do)) return command(one.do);
  return one.page === "questions" ? h("a", { href: `#/${encodeURIComponent(context.app)}/questions` }, one.do) : one.do;
}

function wanted(one, context) {
  if (!one.do || isCommand(one.do)) return h("li", {}, h("strong", {}, one.headline), one.do ? todo(one, context) : "");
  return h("li", {}, h("strong", {}, todo(one, context)), h("p", { class: "dim" }, one.headline));
}

function next(content, context) {
  const waiting = content.steps.filter((step) => step.state === "attention" && step.id !== "advisor");
  const advice = content.advice.filter((step) => !step.idle);
  if (!waiting.length && !advice.length) {
    const idle = content.advice[0];
    return h("section", { class: "card next calm" }, h("h2", {}, "Next"), h("p", {}, idle ? `${idle.title}. ${idle.reason}` : "Nothing needs you now."));
  }
  return h("section", { class: "card next" }, h("h2", {}, "Next"),
    h("ul", {}, waiting.map((step) => wanted(step, context)), advice.map(advised)));
}

function step(one, number, context) {
  const title = context.has(one.page) && one.page !== "journey" ? h("a", { href: `#/${encodeURIComponent(context.app)}/${one.page}` }, one.title) : one.title;
  return h("li", { class: `step ${one.state}` },
    h("span", { class: "mark", "aria-hidden": "true" }, MARKS[one.state] || number),
    h("div", { class: "step-body" },
      h("div", { class: "step-head" }, h("h2", {}, title), h("span", { class: `state ${one.state}` }, WORDS[one.state]), h("span", { class: "dim service" }, one.id)),
      h("p", {}, one.headline),
      one.facts.length ? facts(one.facts) : "",
      one.do && one.state !== "done" ? h("div", { class: "do" }, todo(one, context)) : ""));
}

export default {
  id: "journey", title: "Journey", key: "j",
  parts: ["app", "data", "feasibility", "cleaning", "values", "questions", "models", "ci", "picker", "advice", "recent"],
  open(root, context) {
    return {
      root,
      load: () => api.get(api.of(context.app, "journey")),
      show(content) {
        const done = content.steps.filter((one) => one.state === "done").length;
        root.replaceChildren(
          h("div", { class: "title" }, h("h1", {}, content.app), h("p", { class: "dim" }, `predicts ${content.label} (${many(content.class_count, "class", "classes")}); target ${percent(content.target, 0)}; ${done} of ${content.steps.length} steps done`)),
          h("div", { class: "columns" },
            h("div", {}, next(content, context), h("ol", { class: "steps" }, content.steps.map((one, place) => step(one, place + 1, context)))),
            h("aside", { class: "card recent", tabindex: 0, "aria-labelledby": "recent" }, h("h2", { id: "recent" }, "Lately"),
              content.recent.length ? h("ol", {}, content.recent.map((line) => h("li", {}, time(line.at), h("span", {}, line.text)))) : h("p", { class: "dim" }, "Nothing has happened yet."))));
      },
    };
  },
};
