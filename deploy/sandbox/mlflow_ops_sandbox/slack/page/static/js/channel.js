// The main column: a channel, the direct messages with the app, or its Home tab.
import { read, send } from "./api.js";
import { avatar } from "./avatar.js";
import { blocks } from "./blocks.js";
import { Composer } from "./composer.js";
import { clear, h, icon } from "./dom.js";
import { MessageList } from "./list.js";
import { messageElement } from "./message.js";
import { channel as channelOf, direct, isDirect, state } from "./state.js";

let list = null;
let composer = null;
let homeBody = null;

export const openList = () => list;
export const focusComposer = () => composer?.focus();

// On a narrow screen the sidebar is behind a button.
function menu() {
  const app = document.getElementById("app");
  const control = h("button", { class: "icon-button menu-button", type: "button", id: "menu", "aria-label": "Channels and people", "aria-expanded": "false", "aria-controls": "sidebar",
    onclick: () => { control.setAttribute("aria-expanded", String(app.classList.toggle("with-sidebar"))); } }, icon("menu"));
  app.classList.remove("with-sidebar");
  return control;
}

function head() {
  const { bot } = state.workspace;
  const known = channelOf(state.place);
  if (!known) return h("header", { class: "head" }, menu(), avatar(bot.user_id, "small"), h("h1", {}, bot.display), h("span", { class: "badge-app" }, "APP"));
  return h("header", { class: "head" }, menu(),
    h("h1", {}, `# ${known.name}`),
    h("span", { class: "topic", title: known.topic }, known.topic),
    h("span", { class: "head-side" },
      h("button", { class: "chip", type: "button", onclick: showPins, id: "pins" }, icon("pin"), "Pins"),
      h("span", { class: "chip", title: `${known.members.length} members` }, icon("people"), String(known.members.length))));
}

function tabs() {
  if (!isDirect(state.place)) return null;
  const tab = (id, label) => h("button", { class: "tab", role: "tab", type: "button", "aria-selected": String(state.place === id), onclick: () => { location.hash = `#${id}`; } }, label);
  return h("div", { class: "tabs", role: "tablist" }, tab("home", "Home"), tab(direct(), "Messages"));
}

function welcome() {
  const known = channelOf(state.place);
  const command = state.workspace.commands[0];
  return h("div", { class: "empty" },
    h("h2", {}, known ? `# ${known.name}` : state.workspace.bot.display),
    h("p", {}, known?.topic || "Nothing has been said here yet."),
    command ? h("p", {}, "Type ", h("code", {}, command.command), ` and a space below to see what can be asked.`) : null);
}

export async function drawPlace(main, { openThread }) {
  if (state.place === "home") { await drawHome(main); return; }
  homeBody = null;
  const channel = state.place;
  const query = { channel, user: state.user };
  const [said, mine] = await Promise.all([read("/sandbox/messages", query), read("/sandbox/ephemerals", query)]);
  if (state.place !== channel) return;
  list = new MessageList({ channel, openThread, label: `Messages in ${channelOf(channel)?.name ?? state.workspace.bot.display}` });
  const old = composer?.channel === channel ? composer.input.value : "";
  composer = new Composer({ channel, onSent: () => list.toBottom() });
  const first = welcome();
  list.scroll.prepend(first);
  let oldest = said.messages[0]?.ts;
  if (said.more) {
    first.replaceWith(h("button", {
      class: "button more", type: "button",
      onclick: async (event) => {
        const earlier = await read("/sandbox/messages", { ...query, before: oldest });
        const height = list.scroll.scrollHeight;
        oldest = earlier.messages[0]?.ts ?? oldest;
        list.messages = [...earlier.messages, ...list.messages];
        list.draw();
        list.scroll.scrollTop += list.scroll.scrollHeight - height;
        if (!earlier.more) event.target.remove();
      },
    }, "Show earlier messages"));
  }
  clear(main).append(...[head(), tabs(), list.scroll, h("div", { class: "foot" }, composer.element)].filter(Boolean));
  list.load([...said.messages, ...mine.messages.filter((message) => !message.thread_ts)]);
  if (old) { composer.input.value = old; composer.typed(); composer.close(); }
}

async function drawHome(main) {
  list = null;
  composer = null;
  homeBody = h("div", { class: "home" });
  clear(main).append(head(), tabs(), h("div", { class: "scroll", tabindex: "0" }, homeBody));
  const { view } = await send("/sandbox/home/open", { user: state.user });
  showHome(view);
}

export function showHome(view) {
  if (!homeBody) return;
  clear(homeBody).append(view ? blocks(view.blocks, { view_id: view.id }) : h("div", { class: "empty" },
    h("h2", {}, "Nothing here yet"), h("p", {}, `${state.workspace.bot.display} has not published its Home tab for you.`)));
}

async function showPins() {
  const channel = state.place;
  const { messages } = await read("/sandbox/pins", { channel });
  const box = h("dialog", { "aria-labelledby": "pins-title" });
  const close = () => { box.close(); box.remove(); };
  box.append(
    h("div", { class: "dialog-head" }, h("h2", { id: "pins-title" }, "Pinned here"), h("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: close }, icon("close"))),
    h("div", { class: "dialog-body" }, messages.length
      ? h("ol", { class: "pins-list" }, messages.map((message) => messageElement(message, { channel, inThread: true })))
      : h("p", {}, "Nothing is pinned in this channel.")));
  box.addEventListener("cancel", close);
  document.body.append(box);
  box.showModal();
}
