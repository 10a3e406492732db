// A list of messages that changes in place: an edit touches one element, so that nothing else moves or
// loses its focus. Stays at the bottom while the reader is there.
import { h } from "./dom.js";
import { messageElement } from "./message.js";
import { day, dayKey } from "./times.js";

const TOGETHER = 300; // seconds within which messages of the same author are drawn together
const NEAR = 80; // pixels

export class MessageList {
  constructor({ channel, inThread = false, openThread = null, label }) {
    this.options = { channel, inThread, openThread };
    this.messages = [];
    this.items = new Map();
    this.element = h("ol", { class: "messages", "aria-label": label });
    this.scroll = h("div", { class: "scroll", tabindex: "0", role: "log", "aria-label": label }, this.element);
  }

  get atBottom() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < NEAR;
  }

  toBottom() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  load(messages) {
    this.messages = [...messages].sort((a, b) => (a.ts < b.ts ? -1 : 1));
    this.items.clear();
    this.draw();
    this.toBottom();
  }

  // True where the message was not there before.
  put(message) {
    const stay = this.atBottom;
    const index = this.messages.findIndex((one) => one.ts === message.ts);
    if (index >= 0) {
      this.messages[index] = message;
      this.redraw(index);
    } else {
      let at = this.messages.length;
      while (at > 0 && this.messages[at - 1].ts > message.ts) at -= 1;
      this.messages.splice(at, 0, message);
      this.draw();
    }
    if (stay) this.toBottom();
    return index < 0;
  }

  remove(ts) {
    this.messages = this.messages.filter((one) => one.ts !== ts);
    this.items.delete(ts);
    this.draw();
  }

  joined(index) {
    const [before, message] = [this.messages[index - 1], this.messages[index]];
    if (!before || before.user !== message.user || before.is_ephemeral || before.subtype === "tombstone") return false;
    if (this.options.inThread && index === 1) return false;
    return Number(message.ts) - Number(before.ts) < TOGETHER && dayKey(before.ts) === dayKey(message.ts) && !before.reply_count;
  }

  make(index) {
    const message = this.messages[index];
    const element = messageElement(message, { ...this.options, joined: this.joined(index) });
    this.items.set(message.ts, element);
    return element;
  }

  redraw(index) {
    const before = this.items.get(this.messages[index].ts);
    const focused = before?.contains(document.activeElement) ? document.activeElement.dataset : null;
    const element = this.make(index);
    before?.replaceWith(element);
    if (focused?.action) element.querySelector(`[data-action="${CSS.escape(focused.action)}"]`)?.focus();
    if (focused?.thread) element.querySelector("[data-thread]")?.focus();
  }

  draw() {
    const rows = [];
    let last = null;
    this.messages.forEach((message, index) => {
      const key = dayKey(message.ts);
      if (key !== last && !this.options.inThread) {
        rows.push(h("li", { class: "day-rule", role: "presentation" }), h("li", { class: "day", "aria-label": day(message.ts) }, h("span", {}, day(message.ts))));
        last = key;
      }
      const known = this.items.get(message.ts);
      const joined = this.joined(index);
      rows.push(known && known.classList.contains("joined") === joined ? known : this.make(index));
      if (this.options.inThread && index === 0 && this.messages.length > 1) {
        const count = this.messages.length - 1;
        rows.push(h("li", { class: "between" }, `${count} ${count === 1 ? "reply" : "replies"}`));
      }
    });
    // Only what changed moves, so that an element that stays keeps its focus and its open menu.
    const wanted = new Set(rows);
    for (const child of [...this.element.children]) if (!wanted.has(child)) child.remove();
    rows.forEach((row, index) => {
      if (this.element.children[index] !== row) this.element.insertBefore(row, this.element.children[index] ?? null);
    });
  }

  flash(ts) {
    const element = this.items.get(ts);
    if (!element) return;
    element.scrollIntoView({ block: "center" });
    element.classList.add("flash");
  }
}
