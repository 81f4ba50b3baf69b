// Journey: the eight steps of an app, where each stands, and what to do next.

import * as api from "../api.js";
import { command, facts, h, isCommand, many, percent, table, time, toast } from "../dom.js";

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

// -- who may: pause, resume, erase -------------------------------------------------------------------------------------

async function change(action, context, told) {
  try {
    await api.post(`/api/apps/${encodeURIComponent(context.app)}`, { action });
    toast(told);
  } catch (error) { toast(`${error.message} ${error.mend ?? ""}`, true); }
}

function proof(box, done) {
  const topics = [...new Set([...Object.keys(done.removed), ...Object.keys(done.left)])].sort();
  box.replaceChildren(
    h("h2", { id: "erasing" }, done.complete ? `${done.app} is erased` : `${done.app} is deleted; something is left`),
    h("p", {}, `${done.text}.`),
    done.complete ? "" : [h("p", {}, "This takes what can be taken later:"), command(`easeml apps delete ${done.app} --erase`)],
    topics.length ? table("Messages by topic", [
      ["topic", "id", (topic) => topic.replace(/^easeml\./, "")],
      ["removed", "num", (topic) => done.removed[topic] ?? ""],
      ...(done.complete ? [] : [["left", "num", (topic) => done.left[topic] ?? ""]]),
    ], topics) : "",
    done.files.length ? [h("h3", {}, `${many(done.files.length, "file")} removed`), h("pre", { tabindex: 0 }, done.files.join("\n"))] : "",
    done.shared.length ? [h("h3", {}, "Kept, for another app has them too"), h("pre", { tabindex: 0 }, done.shared.join("\n"))] : "",
    h("form", { method: "dialog" }, h("button", { class: "main" }, "Close")));
}

function erase(context) {
  const typed = h("input", { id: "erase-name", autocomplete: "off", spellcheck: "false", "aria-describedby": "erase-what" });
  const go = h("button", { class: "danger", disabled: true }, "Erase for good");
  typed.addEventListener("input", () => { go.disabled = typed.value !== context.app; });
  const box = h("dialog", { class: "erase", "aria-labelledby": "erasing", onclose: () => box.remove() },
    h("h2", { id: "erasing" }, `Erase ${context.app}?`),
    h("p", { id: "erase-what" }, "Its rows, models, questions, answers and reports are removed, and nothing brings them back. The audit keeps who did it."),
    h("label", { for: "erase-name" }, "Type ", h("strong", {}, context.app), " to confirm"), typed,
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      go.disabled = typed.disabled = true;
      go.textContent = "Erasing…";
      const place = location.hash;
      history.replaceState(null, "", "#/"); // its page goes away with it
      try {
        proof(box, await api.post(`/api/apps/${encodeURIComponent(context.app)}`, { action: "erase", confirm: typed.value }));
      } catch (error) { history.replaceState(null, "", place); toast(`${error.message} ${error.mend ?? ""}`, true); box.close(); }
    } }, h("button", { type: "button", onclick: () => box.close() }, "Keep it"), go));
  document.body.append(box);
  box.showModal();
  typed.focus();
}

function managed(content, context) {
  if (!context.session.rights.includes("manage")) return "";
  const button = (id, words, act) => h("button", { id, type: "button", class: "quiet", onclick: act }, words);
  return h("div", { class: "manage" },
    content.paused ? button("resume", "Resume", () => change("resume", context, `${context.app} goes on.`)) : button("pause", "Pause", () => change("pause", context, `${context.app} is paused.`)),
    button("erase", "Erase…", () => erase(context)));
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
          h("div", { class: "title" }, h("h1", {}, content.app), h("p", { class: "dim" }, `predicts ${content.label} (${many(content.class_count, "class", "classes")}); target ${percent(content.target, 0)}; ${done} of ${content.steps.length} steps done`), managed(content, context)),
          content.paused ? h("p", { class: "card paused" }, h("strong", {}, "Paused."), " No question is asked and no model goes to CI; the present pick is served.") : "",
          h("div", { class: "columns" },
            h("div", {}, next(content, context), h("ol", { class: "steps" }, content.steps.map((one, place) => step(one, place + 1, context)))),
            h("aside", { class: "card recent", tabindex: 0, "aria-labelledby": "recent" }, h("h2", { id: "recent" }, "Lately"),
              content.recent.length ? h("ol", {}, content.recent.map((line) => h("li", {}, time(line.at), h("span", {}, line.text)))) : h("p", { class: "dim" }, "Nothing has happened yet."))));
      },
    };
  },
};
