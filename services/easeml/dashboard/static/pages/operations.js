// Operations: is the house well, what was given up and why, and how it is sent on its way again.

import * as api from "../api.js";
import { TURNS, clock, count, h, many, pager, table, toast, turned } from "../dom.js";

const TONES = { SERVING: "good", open: "warn", redriven: "good", discarded: "" };
const AGAIN = 5000; // milliseconds between two looks at the health of the services

function services(rows) {
  return h("section", { class: "card" }, h("h2", {}, "Services"), table("Services", [
    ["service", "", (one) => h("strong", {}, one.service)],
    ["state", "", (one) => h("span", { class: `tag ${TONES[one.state] ?? "bad"}` }, one.state.toLowerCase().replaceAll("_", " "))],
    ["lag", "num", (one) => (one.lag === "" ? "" : count(one.lag))],
    ["address", "id wrap", (one) => one.address],
    ...(rows.some((one) => one.reasons) ? [["reasons", "", (one) => one.reasons]] : []),
  ], rows));
}

function topics(rows) {
  return h("section", { class: "card" }, h("h2", {}, "Topics"), table("Topics", [
    ["topic", "id", (one) => [one.topic.replace(/^easeml\./, ""), one.policy ? h("span", { class: "dim" }, ` ${one.policy}`) : ""]],
    ["messages", "num", (one) => (one.messages === null ? "" : count(one.messages))],
    ["dead letters", "num", (one) => (one.letters ? count(one.letters) : "")],
  ], rows));
}

function opened(letter) {
  const box = h("dialog", { class: "wide", "aria-labelledby": "letter", onclose: () => box.remove() },
    h("h2", { id: "letter" }, letter.letter),
    h("p", { class: "dim" }, `${letter.service} gave up ${letter.topic}[${letter.partition}]${letter.offset < 0 ? "" : `@${letter.offset}`} on ${clock(letter.at)}`),
    h("p", {}, h("span", { class: "tag bad" }, letter.reason), " ", letter.message),
    letter.content ? [h("h3", {}, "Content"), h("pre", { tabindex: 0 }, JSON.stringify(letter.content, null, 2))] : [h("h3", {}, `Begins, of ${many(letter.bytes, "byte")}`), h("pre", { tabindex: 0, class: "wrap" }, letter.begins)],
    h("h3", {}, "Headers"), h("pre", { tabindex: 0 }, [["key", letter.key], ...letter.headers].map(([name, value]) => `${name}: ${value}`).join("\n")),
    h("form", { method: "dialog" }, h("button", {}, "Close")));
  document.body.append(box);
  box.showModal();
}

function sure(question, then) {
  const box = h("dialog", { "aria-labelledby": "sure", onclose: () => { if (box.returnValue === "yes") then(); box.remove(); } },
    h("h2", { id: "sure" }, question), h("p", {}, "Its message is given up for good."),
    h("form", { method: "dialog" }, h("button", { value: "no" }, "Keep it"), h("button", { value: "yes", class: "main" }, "Discard")));
  document.body.append(box);
  box.showModal();
}

export default {
  id: "operations", title: "Operations", key: "o",
  parts: ["letters"],
  keys: [TURNS],
  may: (session) => session.house,
  open(root, context) {
    let start = 0, all = false;
    const has = (right) => context.session.rights.includes(right);
    const timer = setInterval(() => { if (!document.hidden) context.read(); }, AGAIN);
    const path = (letter) => `/api/letters/${encodeURIComponent(letter.letter)}`;

    async function attempt(work) {
      try { await work(); } catch (error) { toast(`${error.message} ${error.mend ?? ""}`, true); }
    }
    const mend = (letter, action, words) => attempt(async () => { await api.post(path(letter), { action }); toast(words); await context.read(); });

    function actions(letter) {
      const button = (words, act) => h("button", { type: "button", class: "quiet", id: `${words}-${letter.letter}`, "aria-label": `${words} ${letter.letter}`, onclick: act }, words);
      const open = letter.state === "open" && has("redrive");
      return h("span", { class: "actions" },
        has("messages") ? button("View", () => attempt(async () => opened(await api.get(path(letter))))) : "",
        open ? button("Redrive", () => mend(letter, "redrive", "The message is on its way again.")) : "",
        open ? button("Discard", () => sure(`Discard ${letter.letter}?`, () => mend(letter, "discard", "The letter is put away."))) : "");
    }

    function letters(content) {
      const turn = (to) => { start = to; context.read(); };
      return h("section", { class: "card" },
        h("div", { class: "step-head" }, h("h2", {}, "Dead letters"), content.open ? h("span", { class: "tag warn" }, `${count(content.open)} open`) : h("span", { class: "tag good" }, "none open"),
          h("label", { class: "toggle" }, h("input", { id: "all", type: "checkbox", checked: all, onchange: (event) => { all = event.target.checked; start = 0; context.read(); } }), " redriven and discarded, too")),
        content.letters.length ? table("Dead letters, the newest first", [
          ["letter", "id", (one) => one.letter.replace(/^easeml\./, "")],
          ["", "", (one) => h("span", { class: `tag ${TONES[one.state]}` }, one.state)],
          ["given up by", "", (one) => one.service],
          ["why", "", (one) => [h("strong", {}, one.reason), one.message ? h("div", { class: "dim cause" }, one.message) : ""]],
          ["when", "num", (one) => clock(one.at)],
          ["", "", actions],
        ], content.letters) : h("p", { class: "dim" }, "Messages that no service can process are kept here, with their causes."),
        content.older ? h("p", { class: "dim" }, `${many(content.older, "older letter")} are not listed here: 'easeml dlq list' does.`) : "",
        content.count > content.page ? pager(content, content.letters.length, turn) : "");
    }

    return {
      root,
      async load() {
        const [house, dead] = await Promise.all([api.get("/api/operations"), api.get(`/api/letters?start=${start}&all=${all ? 1 : 0}`)]);
        return { house, dead };
      },
      show({ house, dead }) {
        const well = house.services.filter((one) => one.state === "SERVING").length;
        root.replaceChildren(
          h("div", { class: "title" }, h("h1", {}, "Operations"), h("p", { class: "dim" }, `${well} of ${many(house.services.length, "service")} serving; broker ${house.broker}`)),
          h("div", { class: "stack" }, letters(dead), h("div", { class: "grid" }, services(house.services), topics(house.topics))));
      },
      key: turned,
      close: () => clearInterval(timer),
    };
  },
};
