// Channels, the app, and whose hands are on the keyboard.
import { avatar } from "./avatar.js";
import { clear, h, icon } from "./dom.js";
import { direct, isDirect, me, state } from "./state.js";
import { currentTheme, toggleTheme } from "./theme.js";

function place({ id, sign, name, current, extra }) {
  const unread = current ? 0 : state.unread.get(id) ?? 0;
  return h("li", {}, h("button", {
    class: `place ${unread ? "unread" : ""}`, type: "button", "aria-current": current ? "page" : null, data: { place: id },
    onclick: () => { location.hash = `#${id}`; },
  }, sign, h("span", { class: "name" }, name), extra, unread ? h("span", { class: "count", "aria-label": `${unread} new` }, String(unread)) : null));
}

export function drawSidebar(element, { become }) {
  const { workspace } = state;
  const connected = workspace.connection.connected;
  const dark = currentTheme() === "dark";
  clear(element).append(
    h("div", { class: "team" },
      h("span", { class: "team-name" }, workspace.team.name),
      h("button", { class: "icon-button", type: "button", id: "theme", "aria-label": dark ? "Light colours" : "Dark colours", title: dark ? "Light colours" : "Dark colours",
        onclick: () => { toggleTheme(); drawSidebar(element, { become }); } }, icon(dark ? "sun" : "moon"))),
    h("div", { class: "places" },
      h("h2", { id: "channels-title" }, "Channels"),
      h("ul", { "aria-labelledby": "channels-title" }, workspace.channels.map((one) => place({
        id: one.id, sign: h("span", { class: "sign", "aria-hidden": "true" }, "#"), name: one.name, current: state.place === one.id,
      }))),
      h("h2", { id: "apps-title" }, "Apps"),
      h("ul", { "aria-labelledby": "apps-title" }, place({
        id: isDirect(state.place) ? state.place : "home", sign: avatar(workspace.bot.user_id, "tiny"), name: workspace.bot.display,
        current: isDirect(state.place),
        extra: h("span", { class: `presence ${connected ? "on" : ""}`, role: "img", title: connected ? "The app is connected" : "The app is not connected", "aria-label": connected ? "connected" : "not connected" }),
      }))),
    you(become));
  const missed = state.unread.get(direct());
  if (missed && !isDirect(state.place)) element.querySelector("[data-place=home]")?.classList.add("unread");
}

function you(become) {
  const { people } = state.workspace;
  const list = h("div", { class: "you-list", role: "radiogroup", "aria-labelledby": "you-label" }, people.map((one, index) => {
    const mine = one.id === state.user;
    return h("button", {
      class: "you-one", type: "button", role: "radio", "aria-checked": String(mine), tabindex: mine ? "0" : "-1",
      title: `Type as ${one.real_name} (Alt+${index + 1})`, data: { person: one.id }, onclick: () => become(one.id),
    }, avatar(one.id), h("span", {}, h("span", { class: "you-name" }, one.real_name), h("span", { class: "you-role" }, one.role_label)), h("span", { class: "you-mark", "aria-hidden": "true" }));
  }));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = people.indexOf(me());
    become(people[(at + step + people.length) % people.length].id).then(() => document.querySelector(`[data-person="${state.user}"]`)?.focus());
  });
  return h("div", { class: "you" }, h("div", { class: "you-label", id: "you-label" }, "You are typing as"), list);
}
