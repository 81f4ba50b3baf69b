// Questions: one at a time, the most informative first, answered with one key.

import * as api from "../api.js";
import { command, count, empty, figure, gauge, h, many, percent, short, toast } from "../dom.js";
import { cell, large } from "../picture.js";

const ASKERS = { cpclean: "Cleaning", market: "Labelling", modelpicker: "Production", ci: "Testing" };
const WHY = {
  cpclean: "This value decides predictions that are still open.",
  market: "A label for this row is worth more than for others.",
  modelpicker: "The best models disagree on this row.",
  ci: "The verdict on a model needs the label of this row.",
};
const NAME = "easeml-annotator";
const FEW = 5;

const asker = (name) => ASKERS[name] ?? name;

export default {
  id: "questions", title: "Questions", key: "q",
  parts: ["questions", "app", "cleaning", "values"],
  keys: [["1 … 9", "Answer with this candidate"], ["↑ ↓", "Move between candidates"], ["o", "Another value (cells)"], ["s", "Skip: somebody else may know"]],
  open(root, context) {
    const may = context.session.rights.includes("answer");
    const done = new Set(); // an answered question leaves the list only once its answer is on the stream
    let queue = [], shown = null, answered = 0, bits = 0, claiming = null;

    const path = (question) => api.of(context.app, `questions/${encodeURIComponent(question.question)}`);
    const annotator = () => context.session.name || localStorage.getItem(NAME) || "";
    const send = (question, body) => api.post(path(question), { ...body, annotator: annotator(), request_id: api.fresh() });

    // The question shown is held for its reader; what the reader has left is given back, also when its claim comes late.
    const giveBack = (question) => fetch(path(question), { method: "POST", keepalive: true, headers: { "content-type": "application/json" }, body: JSON.stringify({ action: "release", annotator: annotator() }) }).catch(() => {});

    async function claim(question) {
      try {
        await send(question, { action: "claim" });
        if (shown !== question && !done.has(question.question)) giveBack(question);
      } catch (error) {
        if (error.status === 409 || error.status === 404) { done.add(question.question); if (shown === question) advance(); }
      }
    }

    async function reply(body, words) {
      const question = shown;
      if (!question || !may) return;
      const claimed = claiming;
      done.add(question.question);
      advance(words);
      try {
        await claimed; // else the claim might come last, and stay
        await send(question, body);
        if (body.action === "answer") { answered += 1; bits += question.bits; sitting(); }
        else await giveBack(question); // others may have it at once
        if (queue.length < FEW) context.read(); // a skip is no news to anybody else
      } catch (error) {
        if (error.reason === "invalid_value" || error.status === 400 || error.status === 0 || error.status === 503) {
          done.delete(question.question);
          queue.unshift(question);
          shown = null;
          advance();
        }
        toast(`Not counted: ${error.message} ${error.mend ?? ""}`, true);
      }
    }

    const answer = (index) => reply({ action: "answer", value: index }, `Answered ${shown.candidates[index]}.`);
    const skip = () => reply({ action: "skip" }, "Skipped.");

    function advance(words = "") {
      queue = queue.filter((question) => !done.has(question.question));
      shown = queue[0] ?? null;
      if (shown) claiming = claim(shown);
      draw(words);
    }

    // -- drawing --------------------------------------------------------------------------------------------------

    const card = h("section", { class: "card question", "aria-live": "polite" });
    const side = h("aside", { class: "side" });
    const mine = h("p", { class: "dim", id: "sitting" });
    root.append(h("div", { class: "title" }, h("h1", {}, "Questions"), mine), h("div", { class: "columns" }, card, side));

    function sitting() {
      mine.textContent = answered ? `${many(answered, "answer")} in this sitting, ${figure(bits)} bits` : "Each answer makes a data set, a model or a pick more certain.";
    }

    function candidate(text, index) {
      const belief = shown.probabilities[index];
      return h("button", { type: "button", class: "candidate", id: `candidate-${index}`, onclick: () => answer(index), disabled: !may },
        h("kbd", { "aria-hidden": "true" }, index < 9 ? index + 1 : ""),
        h("span", { class: "candidate-text", title: text }, short(text)),
        belief === undefined ? "" : h("span", { class: "belief" }, h("progress", { value: belief, max: 1, "aria-hidden": "true" }), h("span", { class: "num" }, percent(belief, 0))));
    }

    function row() {
      if (!shown.row.length) return h("p", { class: "dim" }, "The values of this row are not known here any more.");
      const asked = (one) => (one.column === shown.column ? "asked" : "");
      const values = [...shown.row].sort((one, two) => (two.column === shown.column) - (one.column === shown.column));
      return [
        ...values.filter(large).map((one) => h("figure", { class: `large ${asked(one)}` }, h("figcaption", {}, one.column), cell(one))),
        h("dl", { class: "row" }, values.filter((one) => !large(one)).map((one) => h("div", { class: asked(one) }, h("dt", {}, one.column), h("dd", {}, cell(one))))),
      ];
    }

    function other() {
      if (shown.kind !== "cell") return "";
      const field = h("input", { id: "other", type: "text", autocomplete: "off", onkeydown: (event) => { if (event.key === "Escape") field.blur(); } });
      return h("form", { class: "other", onsubmit: (event) => { event.preventDefault(); if (field.value.trim()) reply({ action: "answer", other: field.value.trim() }, `Answered ${field.value.trim()}.`); } },
        h("label", { for: "other" }, h("kbd", {}, "o"), " another value"), field, h("button", {}, "Answer"));
    }

    function draw(words = "") {
      if (!shown) { card.replaceChildren(none()); return; }
      const what = shown.kind === "label" ? "What is the label of this row?" : shown.kind === "cell" ? `What is ${shown.column}?` : "Which of these rows is right?";
      const { why, ...rest } = shown.context;
      card.replaceChildren(
        h("p", { class: "hidden" }, words),
        h("div", { class: "question-head" }, h("h2", {}, what), h("span", { class: "tag" }, asker(shown.asked_by)), h("span", { class: "dim" }, `${shown.row_id} · ${shown.pillar} · ${figure(shown.bits)} bits${shown.cost === 1 ? "" : ` · costs ${figure(shown.cost)} labels`}`)),
        shown.heard ? h("p", { class: "dim", id: "heard" }, `${shown.heard}.`) : "",
        h("p", { class: "dim" }, why ?? WHY[shown.asked_by] ?? ""),
        h("div", { class: "question-body" },
          h("div", { class: "candidates" }, shown.candidates.map(candidate), other(),
            h("button", { type: "button", class: "quiet", onclick: skip, disabled: !may }, h("kbd", {}, "s"), " skip")),
          h("div", { class: "shown" }, row(),
            Object.keys(rest).length ? h("dl", { class: "context" }, Object.entries(rest).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))) : "")));
    }

    let progress = [];

    function none() {
      if (!may) return empty("Your token may look, not answer.", h("p", {}, "Ask for one that may answer."));
      const spent = progress.filter((one) => one.raise);
      if (spent.length) {
        return empty("All questions are answered.", h("p", {}, "These budgets are spent; more answers need more labels granted:"), spent.map((one) => command(one.raise)));
      }
      return empty("No open questions.", h("p", {}, "They come when training rows are uncertain, when the pool holds rows, or when models that have passed disagree on production rows. This page shows them by itself."));
    }

    function sides() {
      side.replaceChildren(...progress.map((one) =>
        h("section", { class: "card" }, h("h2", {}, asker(one.asked_by)),
          gauge("labels", one.spent, one.granted, `${figure(one.spent)} of ${figure(one.granted)} spent`),
          h("p", { class: "dim" }, `${many(one.answered, "answer")}, ${figure(one.bits)} bits; ${count(one.open)} open`))),
      context.session.name ? "" : h("form", { class: "card name", onsubmit: (event) => event.preventDefault() },
        h("label", { for: "annotator" }, "Your name"),
        h("input", { id: "annotator", type: "text", maxlength: 100, autocomplete: "nickname", placeholder: "as on this machine", value: localStorage.getItem(NAME) ?? "", onchange: (event) => localStorage.setItem(NAME, event.target.value.trim()) })));
    }

    function move(step) {
      const buttons = [...card.querySelectorAll("button.candidate")];
      const place = buttons.indexOf(document.activeElement);
      buttons[(place + step + buttons.length) % buttons.length]?.focus();
    }

    sitting();
    return {
      root,
      load: () => api.get(api.of(context.app, `questions?annotator=${encodeURIComponent(annotator())}`)),
      show(content) {
        progress = content.progress;
        queue = content.questions.filter((question) => !done.has(question.question));
        sides();
        const still = shown && queue.find((question) => question.question === shown.question);
        if (still) {
          queue = [shown, ...queue.filter((question) => question !== still)];
          if (still.heard !== shown.heard) { shown.heard = still.heard; document.getElementById("heard")?.replaceChildren(`${shown.heard}.`); }
        }
        else advance();
      },
      key(event) {
        if (!shown || !may) return false;
        if (/^[1-9]$/.test(event.key) && Number(event.key) <= shown.candidates.length) { answer(Number(event.key) - 1); return true; }
        if (event.key === "s") { skip(); return true; }
        if (event.key === "o" && shown.kind === "cell") { document.getElementById("other").focus(); return true; }
        if (event.key === "ArrowDown" || event.key === "ArrowUp") { move(event.key === "ArrowDown" ? 1 : -1); return true; }
        return false;
      },
      close() {
        if (shown) giveBack(shown);
        shown = null;
      },
    };
  },
};
