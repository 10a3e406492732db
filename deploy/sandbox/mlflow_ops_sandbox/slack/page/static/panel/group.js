// A group of the panel: its rows are made once and then only changed, so that focus stays where it is.
import { h } from "/page/js/dom.js";

const WORDS = { well: "well", broken: "broken", unknown: "unknown" };

export class Group {
  rows = new Map();

  constructor({ title }, order) {
    this.order = order;
    this.count = h("span", { class: "panel-count" });
    this.list = h("ul", { class: "panel-things" });
    this.element = h("details", { class: "panel-group", open: true }, h("summary", {}, h("span", {}, title), this.count), this.list);
  }

  update({ things }) {
    for (const thing of things) {
      if (!this.rows.has(thing.id)) {
        const row = thing.switch ? new Switch(thing, this.order) : new Row(thing, this.order);
        this.rows.set(thing.id, row);
        this.list.append(row.element);
      }
      this.rows.get(thing.id).update(thing);
    }
    const broken = things.filter((thing) => thing.state === "broken").length;
    this.count.textContent = broken ? `${broken} broken` : "";
  }
}

// One thing that is either broken or well: the whole row is the switch.
class Switch {
  constructor({ id, label, help }, order) {
    this.id = id;
    this.word = h("span", { class: "panel-word" });
    this.help = help;
    this.said = h("span", { class: "panel-help", id: `panel-help-${id}` });
    this.button = h("button", {
      class: "panel-switch", type: "button", role: "switch", data: { thing: id }, "aria-label": label, "aria-describedby": this.said.id,
      onclick: () => { this.wait(); order(id, this.broken ? "heal" : "break"); },
    }, h("span", { class: "panel-words" }, h("span", { class: "panel-label" }, label), this.said), h("span", { class: "panel-state" }, this.word, h("span", { class: "panel-knob", "aria-hidden": "true" })));
    this.element = h("li", {}, this.button);
  }

  wait() {
    this.button.setAttribute("aria-busy", "true");
  }

  update({ state, detail }) {
    this.broken = state === "broken";
    this.button.removeAttribute("aria-busy");
    this.button.setAttribute("aria-checked", String(this.broken));
    this.button.dataset.state = state;
    this.word.textContent = WORDS[state];
    this.said.textContent = detail || this.help;
  }
}

// One thing with actions of its own, such as a process.
class Row {
  constructor({ id, label, help }, order) {
    this.id = id;
    this.label = label;
    this.help = help;
    this.order = order;
    this.shown = "";
    this.said = h("span", { class: "panel-help" });
    this.acts = h("span", { class: "panel-acts", role: "group", "aria-label": label });
    this.element = h("li", { class: "panel-row", data: { thing: id }, title: help },
      h("span", { class: "panel-words" }, h("span", { class: "panel-label" }, label), this.said), this.acts);
  }

  update({ state, detail, actions }) {
    this.element.dataset.state = state;
    this.said.textContent = detail || this.help;
    const wanted = actions.map((action) => action.id).join();
    if (wanted === this.shown) return;
    this.shown = wanted;
    const at = [...this.acts.children].indexOf(document.activeElement);
    this.acts.replaceChildren(...actions.map((action) => h("button", {
      class: `panel-act ${action.id === "kill" ? "danger" : ""}`, type: "button", data: { action: action.id }, "aria-label": `${action.label}: ${this.label}`,
      onclick: () => this.order(this.id, action.id),
    }, action.label)));
    this.acts.children[at]?.focus();
  }
}
