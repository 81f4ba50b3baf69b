// Elements and numbers. Whatever comes from data enters the page as text, never as markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const percent = (value, digits = 1) =>
  value === null || value === undefined ? "not known" : `${(100 * value).toFixed(digits)}%`;

export const count = (value) => (value === null || value === undefined ? "not known" : value.toLocaleString("en"));

export function figure(value) {
  if (value === null || value === undefined) return "not known";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return size < 1000 ? String(Number(value.toPrecision(4))) : Number(value.toPrecision(6)).toLocaleString("en");
}

// A number as a candidate: nobody compares its sixteenth digit.
export const short = (text) => (/^-?\d+\.\d{8,}$/.test(text) ? String(Number(Number(text).toPrecision(7))) : text);

export const many = (value, word, words = `${word}s`) => `${count(value)} ${value === 1 ? word : words}`;

export const clock = (seconds) =>
  new Date(1000 * seconds).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const time = (seconds) =>
  h("time", { datetime: new Date(1000 * seconds).toISOString(), title: clock(seconds) },
    new Date(1000 * seconds).toLocaleTimeString([], { hourCycle: "h23" }));

export const command = (text) =>
  h("div", { class: "command" },
    h("code", {}, text),
    navigator.clipboard && h("button", {
      class: "quiet", type: "button", "aria-label": `Copy: ${text}`,
      onclick: async (event) => {
        await navigator.clipboard.writeText(text);
        event.target.textContent = "Copied";
        setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
      },
    }, "Copy"));

export const isCommand = (text) => text.startsWith("easeml ");

export const empty = (title, ...more) => h("div", { class: "empty" }, h("h2", {}, title), ...more);

// A meter that says in words what it shows.
export const gauge = (label, value, most, text) =>
  h("div", { class: "gauge" },
    h("div", { class: "gauge-text" }, h("span", {}, label), h("span", { class: "num" }, text)),
    h("progress", { value: Math.min(value, most) || 0, max: most || 1, "aria-label": `${label}: ${text}` }));

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

// A table that scrolls by itself on a narrow screen; columns are [title, class, cell of a row].
export const table = (caption, columns, rows) =>
  h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([, kind, cell]) => h("td", { class: kind }, cell(row))))))));

// Turns the pages of a list that the server sends page by page; the arrow keys do the same outside of tables.
export function pager({ start, count: all, page }, shown, turn, total = all) {
  const button = (id, words, arrow, to, possible) => h("button", { type: "button", id, disabled: !possible, "aria-label": words, onclick: () => turn(to) }, arrow);
  return h("span", { class: "turn" },
    button("back", "Previous page", "←", Math.max(0, start - page), start > 0),
    h("span", { class: "dim num" }, all ? `${count(start + 1)} to ${count(start + shown)} of ${count(all)}${total > all ? `, the newest of ${count(total)}` : ""}` : "none"),
    button("on", "Next page", "→", start + page, start + shown < all));
}

export const TURNS = ["← →", "Turn the page"];

export function turned(event) {
  if (event.target.closest(".scroll")) return false; // they scroll the table
  const button = document.getElementById({ ArrowLeft: "back", ArrowRight: "on" }[event.key]);
  if (!button || button.disabled) return false;
  button.click();
  return true;
}

export function toast(text, bad = false) {
  const box = h("p", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), bad ? 9000 : 4000);
}
