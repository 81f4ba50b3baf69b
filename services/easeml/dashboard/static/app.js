// The frame around the pages: who is there, which app, which page, what has changed.

import * as api from "./api.js";
import { discard } from "./chart.js";
import { empty, h, toast } from "./dom.js";
import journey from "./pages/journey.js";
import ci from "./pages/ci.js";
import data from "./pages/data.js";
import feasibility from "./pages/feasibility.js";
import models from "./pages/models.js";
import operations from "./pages/operations.js";
import picker from "./pages/picker.js";
import questions from "./pages/questions.js";

const ALL = [journey, questions, data, feasibility, models, ci, picker, operations];
const THEMES = ["system", "light", "dark"];
const REST = 300; // milliseconds between two readings of a page at least
const ANEW = 3000; // milliseconds between two looks for apps while there is none to listen to

const state = { session: null, apps: [], app: "", page: journey, opened: null, close: () => {}, leave: () => {}, live: null };
const main = () => document.getElementById("main");
let PAGES = ALL;

// -- where we are -----------------------------------------------------------------------------------------------------

const address = (app, page) => `#/${encodeURIComponent(app)}/${page.id}`;

function here() {
  const [, app = "", page = ""] = location.hash.split("/").map(decodeURIComponent);
  return { app, page: PAGES.find((known) => known.id === page) ?? journey };
}

async function go() {
  const { app, page } = here();
  const chosen = state.apps.includes(app) ? app : state.apps[0] ?? "";
  if (app && !state.apps.includes(app)) toast(`There is no app ${app}.`, true);
  if (chosen !== state.app) {
    state.leave();
    state.live = null;
    state.app = chosen;
    state.leave = chosen ? api.listen(chosen, heard, connected) : () => {};
  }
  state.page = page;
  document.title = chosen ? `${page.title} · ${chosen} · Ease.ML` : "Ease.ML";
  frame();
  await open();
}

async function open() {
  state.close();
  state.close = () => {};
  if (!state.app) {
    main().replaceChildren(empty("No apps yet.", h("p", {}, "Create one in the terminal:"), h("pre", {}, "easeml apps create churn --label churned --target 0.85\neaseml publish churn customers.csv")));
    const timer = setInterval(() => heard({ all: true, parts: new Set() }), ANEW);
    state.close = () => clearInterval(timer);
    main().setAttribute("aria-busy", "false");
    return;
  }
  const context = { app: state.app, session: state.session, read: () => state.opened?.read(), has: (id) => PAGES.some((page) => page.id === id) };
  const root = h("div", { class: `page page-${state.page.id}` });
  main().replaceChildren(root);
  const opened = state.page.open(root, context);
  const reader = reading(opened);
  state.opened = { ...opened, ...reader };
  state.close = () => { reader.end(); opened.close?.(); discard(root); state.opened = null; };
  await reader.read();
  main().setAttribute("aria-busy", "false");
}

// Reads a page again when it has changed: one reading at a time, and never two in a blink.
function reading(page) {
  let running = false, again = false, ended = false, last = "", shown = null;
  async function read() {
    if (running) { again = true; return; }
    running = true;
    try {
      do {
        again = false;
        const content = await page.load();
        const text = JSON.stringify(content);
        if (ended) return;
        mended(page);
        if (text !== last) keepingPlace(() => page.show(content));
        last = text;
        shown = content;
        await new Promise((done) => setTimeout(done, REST));
      } while (again && !ended);
    } catch (error) {
      if (!ended) failed(error, page);
      last = "";
    } finally {
      running = false;
    }
  }
  const recolour = () => { if (shown && !ended) keepingPlace(() => page.show(shown)); };
  return { read, recolour, end: () => { ended = true; } };
}

// Drawing anew must not take the focus from somebody, nor what was typed, nor close what somebody opened.
function keepingPlace(draw) {
  const before = document.activeElement, focused = before?.id;
  const typed = before?.matches("input:not([type=checkbox])") ? before.value : null;
  const open = [...main().querySelectorAll("details[id][open]")].map((one) => one.id);
  draw();
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  const after = focused && document.getElementById(focused);
  if (!after || after === before) return;
  if (typed !== null) after.value = typed;
  after.focus({ preventScroll: true });
}

function failed(error, page) {
  if (error instanceof api.Refused && error.status === 401) { enter(); return; }
  if (!(error instanceof api.Refused)) { console.error(error); }
  page.root.hidden = true;
  document.getElementById("trouble")?.remove();
  main().append(h("div", { id: "trouble", role: "alert" }, empty("This page cannot be shown now.", h("p", {}, error.message), h("p", { class: "dim" }, error.mend ?? ""), h("button", { type: "button", id: "again", onclick: () => state.opened?.read() }, "Try again"))));
}

function mended(page) {
  document.getElementById("trouble")?.remove();
  page.root.hidden = false;
}

// -- what has changed -------------------------------------------------------------------------------------------------

async function heard({ all, parts }) {
  if (all || parts.has("apps")) {
    try {
      const { apps } = await api.get("/api/apps");
      if (apps.join("\n") !== state.apps.join("\n")) { state.apps = apps; await go(); return; }
    } catch (error) {
      if (error.status === 401) { enter(); return; }
    }
  }
  if (all || state.page.parts.some((part) => parts.has(part))) await state.opened?.read();
}

function connected(live) {
  if (state.live === live) return;
  state.live = live;
  const light = document.getElementById("live");
  if (!light) return;
  light.className = live ? "live on" : "live";
  light.textContent = live ? "live" : "reconnecting";
}

// -- the frame --------------------------------------------------------------------------------------------------------

function frame() {
  const theme = localStorage.getItem("easeml-theme") ?? "system";
  const apps = h("select", { id: "apps", "aria-label": "App", onchange: (event) => { location.hash = address(event.target.value, state.page); } },
    state.apps.map((name) => h("option", { value: name, selected: name === state.app }, name)));
  document.getElementById("bar").replaceChildren(
    h("a", { class: "brand", "aria-label": "Ease.ML", href: state.app ? address(state.app, journey) : "#/" }, h("img", { src: "/static/icon.svg", alt: "", width: 26, height: 26 }), h("span", {}, "Ease.ML")),
    state.apps.length ? apps : "",
    h("span", { class: "spring" }),
    state.apps.length ? h("span", { id: "live", class: state.live ? "live on" : "live" }, state.live ? "live" : "connecting") : "",
    h("button", { id: "help", class: "quiet", type: "button", onclick: help, "aria-label": "Keys" }, "?"),
    h("button", { id: "theme", class: "quiet", type: "button", onclick: nextTheme, "aria-label": `Colours: ${theme}. Change` }, { system: "◐", light: "☀", dark: "☾" }[theme] ?? "◐"),
    state.session?.known && !state.session.open ? h("button", { class: "quiet", type: "button", onclick: leave }, state.session.name ? `Leave (${state.session.name})` : "Leave") : "");
  document.getElementById("nav").replaceChildren(...(state.app ? PAGES.map((page) =>
    h("a", { href: address(state.app, page), "aria-current": page === state.page ? "page" : null }, page.title)) : []));
  document.querySelector("#nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
}

function nextTheme() {
  const now = localStorage.getItem("easeml-theme") ?? "system";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  localStorage.setItem("easeml-theme", next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  frame();
  document.getElementById("theme").focus();
  state.opened?.recolour?.();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.opened?.recolour?.());

function help() {
  const rows = [...PAGES.map((page) => [`g ${page.key}`, page.title]), ["?", "These keys"], ...(state.page.keys ?? [])];
  const box = h("dialog", { "aria-labelledby": "keys", onclose: () => box.remove() },
    h("h2", { id: "keys" }, "Keys"),
    h("dl", { class: "keys" }, rows.map(([key, what]) => h("div", {}, h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, what)))),
    h("form", { method: "dialog" }, h("button", {}, "Close")));
  document.body.append(box);
  box.showModal();
}

let gone = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  if (event.key === "?") { help(); return; }
  if (Date.now() - gone < 1500) {
    gone = 0;
    const page = PAGES.find((known) => known.key === event.key);
    if (page && state.app) { location.hash = address(state.app, page); event.preventDefault(); return; }
  }
  if (event.key === "g") { gone = Date.now(); return; }
  if (state.opened?.key?.(event)) event.preventDefault();
});

// -- who is there -----------------------------------------------------------------------------------------------------

function enter(refused = "") {
  state.close();
  state.leave();
  state.app = "";
  state.apps = [];
  frame();
  const token = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "why" });
  main().replaceChildren(h("form", {
    class: "card enter",
    onsubmit: async (event) => {
      event.preventDefault();
      try { state.session = await api.post("/api/session", { token: token.value }); await begin(); } catch (error) { enter(error.message); }
    },
  }, h("h1", {}, "Enter"), h("label", { for: "token" }, "Your token"), token,
  h("p", { id: "why", class: refused ? "bad" : "dim" }, refused || "'easeml tokens create NAME' makes one on the server."),
  h("button", { class: "main" }, "Enter")));
  token.focus();
}

async function leave() {
  state.session = await api.remove("/api/session");
  enter();
}

async function begin() {
  if (!state.session?.known) state.session = await api.get("/api/session");
  if (!state.session.known) { enter(); return; }
  PAGES = ALL.filter((page) => page.may?.(state.session) ?? true);
  state.apps = (await api.get("/api/apps")).apps;
  await go();
}

addEventListener("hashchange", () => { if (state.session?.known) go(); });
addEventListener("pagehide", () => { state.close(); });
addEventListener("pageshow", (event) => { if (event.persisted) go(); });
begin().catch((error) => main().replaceChildren(empty("The dashboard cannot be shown now.", h("p", {}, error.message), h("p", { class: "dim" }, error.mend ?? ""))));
