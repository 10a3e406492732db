// Break something: a drawer at the right edge that shows what can go wrong around the bot, and what does.
import { read, send } from "/page/js/api.js";
import { h, icon, toast } from "/page/js/dom.js";
import { Group } from "./group.js";

const KEY = "panel";
const OPEN_MS = 1500;
const CLOSED_MS = 5000;
// Below this the drawer lies over a thread; opening one puts it away.
const WIDE = matchMedia("(min-width: 1500px)");

const FAILURES = {
  cluster_not_answering: "The cluster does not answer.",
  process_not_running: "It is not running; it is being started again.",
  unreachable: "The local Slack does not answer.",
};

export function mount(element) {
  const style = h("link", { rel: "stylesheet", href: "/page/panel/panel.css" });
  document.head.append(style);
  new Panel(element);
}

class Panel {
  groups = new Map();
  timer = 0;

  constructor(element) {
    element.setAttribute("aria-label", "Break something");
    this.badge = h("span", { class: "panel-badge", hidden: true });
    this.rail = h("button", {
      class: "panel-rail", type: "button", id: "panel-rail", "aria-controls": "panel-drawer", title: "Break something (Alt+B)",
      onclick: () => this.toggle(),
    }, icon("alert"), this.badge, h("span", { class: "panel-rail-text" }, "Break something"));
    this.heal = h("button", { class: "button", type: "button", id: "panel-heal", onclick: () => this.healAll() }, "Heal everything");
    this.summary = h("p", { class: "panel-summary", role: "status" });
    this.list = h("div", { class: "panel-groups" });
    this.drawer = h("div", { class: "panel-drawer", id: "panel-drawer" },
      h("header", { class: "head panel-head" }, h("h2", {}, "Break something"),
        h("button", { class: "icon-button", type: "button", "aria-label": "Close the panel", title: "Close (Esc)", onclick: () => this.toggle(false) }, icon("close"))),
      h("div", { class: "panel-top" }, this.summary, this.heal), this.list);
    element.append(this.drawer, this.rail);
    this.drawer.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.toggle(false);
    });
    addEventListener("keydown", (event) => {
      if (event.altKey && event.key.toLowerCase() === "b") { event.preventDefault(); this.toggle(); }
    });
    addEventListener("hashchange", () => {
      if (!WIDE.matches && location.hash.includes("/") && this.open) this.show(false);
    });
    document.addEventListener("visibilitychange", () => this.look());
    this.show(localStorage.getItem(KEY) === "open");
  }

  toggle(open = !this.open) {
    localStorage.setItem(KEY, open ? "open" : "closed");
    this.show(open);
    (open ? this.drawer.querySelector("button:not(:disabled)") : this.rail).focus();
  }

  show(open) {
    this.open = open;
    this.drawer.hidden = !open;
    this.rail.setAttribute("aria-expanded", String(open));
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    if (!document.hidden) {
      try { this.draw(await read("/sandbox/panel")); } catch { this.summary.textContent = FAILURES.unreachable; }
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), this.open ? OPEN_MS : CLOSED_MS);
  }

  async order(group, thing, action) {
    this.told(await send("/sandbox/panel", { group, thing, action }));
    setTimeout(() => this.look(), 250);
  }

  async healAll() {
    this.heal.classList.add("busy");
    const answer = await send("/sandbox/panel/heal", {});
    this.heal.classList.remove("busy");
    this.told(answer);
    if (answer.failed?.length) toast("The cluster does not answer yet; heal it again once it does.");
  }

  told(answer) {
    if (answer.ok) this.draw(answer);
    else toast(FAILURES[answer.error] ?? answer.message ?? `Slack refused: ${answer.error}`);
  }

  draw({ groups, broken }) {
    for (const told of groups) {
      if (!this.groups.has(told.id)) {
        const group = new Group(told, (thing, action) => this.order(told.id, thing, action));
        this.groups.set(told.id, group);
        this.list.append(group.element);
      }
      this.groups.get(told.id).update(told);
    }
    this.badge.hidden = !broken;
    this.badge.textContent = String(broken);
    this.rail.classList.toggle("is-broken", broken > 0);
    this.rail.setAttribute("aria-label", broken ? `Break something, ${broken} broken` : "Break something");
    this.summary.textContent = broken ? `${broken} ${broken === 1 ? "thing is" : "things are"} broken` : "All is well";
    this.summary.classList.toggle("is-broken", broken > 0);
    this.heal.classList.toggle("primary", broken > 0);
  }
}
