// Data: the rows of a pillar, what is uncertain in them, who proposes which value, and what is asked about it.

import * as api from "../api.js";
import { TURNS, count, empty, h, many, pager, percent, short, toast, turned } from "../dom.js";

const PILLARS = ["train", "pool", "validation", "test", "production"];

function brief(cell) {
  if (cell.open) return h("span", { class: "missing" }, "open");
  if (!cell.choices?.length) return cell.text === undefined ? h("span", { class: "missing" }, "–") : cell.text;
  const [text, belief] = cell.choices[0];
  return [cell.text !== undefined && cell.text !== text ? h("s", { class: "dim" }, cell.text, " ") : "", h("strong", {}, text), h("span", { class: "dim" }, ` ${percent(belief, 0)}`)];
}

export default {
  id: "data", title: "Data", key: "d",
  parts: ["data", "questions", "app"],
  keys: [TURNS, ["u", "Only uncertain rows"], ["/", "Go to a row"]],
  may: (session) => session.rights.includes("messages"),
  open(root, context) {
    const may = context.session.rights.includes("answer");
    let pillar = "train", start = 0, uncertain = false, from = "", content = null;
    const read = () => context.read();
    const turn = (to) => { start = to; from = ""; read(); };

    // What is known of one cell, and the question about it where there is one.
    async function about(row, place) {
      const column = content.columns[place], cell = row.cells[place];
      const body = h("div", { class: "stack" });
      const box = h("dialog", { "aria-labelledby": "cell", onclose: () => { release(); box.remove(); } },
        h("h2", { id: "cell" }, column.name), h("p", { class: "dim" }, `row ${row.row_id}${row.alternatives ? `; ${many(row.alternatives, "alternative")} of the whole row` : ""}`),
        cell.choices ? h("dl", { class: "choices" }, cell.choices.map(([text, belief, sources]) => h("div", {}, h("dt", {}, text), h("dd", {}, h("progress", { value: belief, max: 1, "aria-label": `${text}: ${percent(belief)}` }), h("span", { class: "num" }, percent(belief)), h("span", { class: "dim" }, sources.join(", ")))))) : "",
        cell.more ? h("p", { class: "dim" }, `and ${count(cell.more)} more`) : "", body,
        h("form", { method: "dialog" }, h("button", {}, "Close")));
      const path = api.of(context.app, `questions/${encodeURIComponent(cell.question ?? "")}`);
      const who = { annotator: context.session.name || localStorage.getItem("easeml-annotator") || "" };
      let claimed = false;
      const release = () => { if (claimed) api.post(path, { action: "release", ...who }).catch(() => {}); };
      const answer = async (index) => {
        try {
          await api.post(path, { action: "answer", value: index, request_id: api.fresh(), ...who });
          claimed = false;
          toast("Answered.");
          box.close();
        } catch (error) { toast(`Not counted: ${error.message} ${error.mend ?? ""}`, true); }
      };
      document.body.append(box);
      box.showModal();
      if (!cell.question || !may) { body.replaceChildren(h("p", { class: "dim" }, cell.question ? "A question about it is open." : "Nobody asks about it now.")); return; }
      try {
        const { question } = await api.post(path, { action: "claim", ...who });
        claimed = true;
        body.replaceChildren(h("h3", {}, "Which is right?"), h("div", { class: "answers" }, question.candidates.map((text, index) => h("button", { type: "button", title: text, onclick: () => answer(index) }, short(text)))));
      } catch (error) { body.replaceChildren(h("p", { class: "dim" }, error.message)); }
    }

    function cellOf(row, place) {
      const cell = row.cells[place];
      const kind = content.columns[place].kind === "numeric" ? "num" : "";
      if (!cell.choices && !cell.question) return h("td", { class: kind }, brief(cell));
      if (cell.choices?.length === 1 && cell.choices[0][0] === cell.text && !cell.question) return h("td", { class: kind }, cell.text);
      return h("td", { class: `${kind} doubt` }, h("button", { type: "button", id: `cell-${row.row_id}-${place}`, "aria-label": `${content.columns[place].name} of ${row.row_id} is uncertain`, onclick: () => about(row, place) }, brief(cell), cell.question ? h("span", { class: "tag warn" }, "asked") : ""));
    }

    function grid() {
      return h("div", { class: "scroll rows", tabindex: 0, role: "region", "aria-label": `Rows of ${pillar}` }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "row"), content.columns.map((column) => h("th", { scope: "col", class: column.kind === "numeric" ? "num" : "" }, column.name, h("small", {}, column.kind))))),
        h("tbody", {}, content.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.row_id), row.cells.map((_, place) => cellOf(row, place)))))));
    }

    function tools() {
      return h("div", { class: "tools" },
        h("label", {}, "pillar ", h("select", { id: "pillar", onchange: (event) => { pillar = event.target.value; turn(0); } }, PILLARS.map((name) => h("option", { value: name, selected: name === pillar }, `${name} (${count(content.pillars[name] ?? 0)})`)))),
        h("label", { class: "toggle" }, h("input", { id: "uncertain", type: "checkbox", checked: uncertain, onchange: (event) => { uncertain = event.target.checked; turn(0); } }), ` only uncertain (${count(content.uncertain)})`),
        h("form", { onsubmit: (event) => { event.preventDefault(); from = document.getElementById("from").value.trim(); read(); } },
          h("label", { for: "from", class: "hidden" }, "Go to row"), h("input", { id: "from", type: "search", placeholder: "go to row", value: from, autocomplete: "off" })),
        h("span", { class: "spring" }), pager(content, content.rows.length, turn));
    }

    return {
      root,
      load: () => api.get(api.of(context.app, `rows/${pillar}?start=${start}&uncertain=${uncertain ? 1 : 0}&from=${encodeURIComponent(from)}`)),
      show(told) {
        const held = PILLARS.find((name) => told.pillars[name]);
        if (!content && !told.all && held) { pillar = held; content = told; read(); return; }
        const scrolled = root.querySelector(".rows")?.scrollLeft ?? 0;
        content = told;
        root.replaceChildren(
          h("div", { class: "title" }, h("h1", {}, "Data"), h("p", { class: "dim" }, `${many(content.all, "row")} in ${pillar}, ${count(content.uncertain)} of them uncertain`)),
          tools(),
          content.rows.length ? grid() : empty(uncertain && content.all ? "No row of this pillar is uncertain." : "This pillar holds no rows.", h("p", {}, `easeml publish ${context.app} FILE${pillar === "train" ? "" : ` --pillar ${pillar}`}`)));
        const table = root.querySelector(".rows");
        if (table) table.scrollLeft = scrolled;
      },
      key(event) {
        if (!content) return false;
        if (turned(event)) return true;
        if (event.key === "u") { uncertain = !uncertain; turn(0); return true; }
        if (event.key === "/") { document.getElementById("from").focus(); return true; }
        return false;
      },
    };
  },
};
