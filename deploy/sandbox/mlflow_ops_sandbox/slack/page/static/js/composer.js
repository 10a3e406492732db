// Where people type: messages, and slash commands with suggestions.
import { send } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { channel as channelOf, me, state } from "./state.js";

const SHOWN = 50;

// What could be meant by what is typed so far: [{insert, what, help, typed}], best first.
export function suggestionsFor(text, commands) {
  if (!text.startsWith("/")) return [];
  const space = text.indexOf(" ");
  const name = space < 0 ? text : text.slice(0, space);
  if (space < 0) {
    return commands.filter((one) => one.command.startsWith(name))
      .map((one) => ({ insert: `${one.command} `, what: one.command, hint: one.usage_hint, help: one.description, typed: name }));
  }
  const command = commands.find((one) => one.command === name);
  if (!command) return [];
  const typed = text.slice(space + 1).trimStart().toLowerCase();
  const words = typed.split(/\s+/).filter(Boolean);
  const rank = (one) => {
    const candidate = one.text.toLowerCase();
    if (candidate.startsWith(typed)) return 0;
    if (words.every((word) => candidate.includes(word))) return 1;
    return words.every((word) => `${candidate} ${one.help.toLowerCase()}`.includes(word)) ? 2 : 3;
  };
  return command.suggestions.map((one) => [rank(one), one]).filter(([order]) => order < 3)
    .sort((a, b) => a[0] - b[0]).slice(0, SHOWN)
    .map(([, one]) => ({ insert: `${name} ${one.text}`, what: `${name} ${one.text}`, help: one.help, typed: `${name} ${typed}` }));
}

export class Composer {
  constructor({ channel, thread = null, onSent = () => {} }) {
    Object.assign(this, { channel, thread, onSent, chosen: -1, found: [], last: "" });
    this.id = thread ? "thread-suggestions" : "suggestions";
    this.input = h("textarea", {
      rows: "1", "aria-label": this.label(), placeholder: this.label(), id: thread ? "thread-composer" : "composer", spellcheck: "false",
      role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.id,
      oninput: () => this.typed(), onkeydown: (event) => this.key(event), onblur: () => setTimeout(() => this.close(), 120),
      onfocus: () => { if (this.input.value.startsWith("/")) this.suggest(); },
    });
    this.button = h("button", { class: "send", type: "button", "aria-label": "Send", title: "Send", onclick: () => this.send() }, icon("send"));
    this.as = h("span", { class: "as" }, `as ${me().real_name}`);
    this.popup = h("div", { class: "suggestions", hidden: true });
    this.element = h("div", { class: "composer" }, this.popup, this.input,
      h("div", { class: "composer-bar" }, this.as, h("span", { class: "hint" }, thread ? h("kbd", {}, "Esc") : h("kbd", {}, "/"), thread ? " closes the thread" : " for commands"), this.button));
  }

  label() {
    if (this.thread) return "Reply…";
    const known = channelOf(this.channel);
    return `Message ${known ? `#${known.name}` : state.workspace.bot.display}`;
  }

  focus() {
    this.input.focus();
  }

  typed() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
    this.button.classList.toggle("ready", Boolean(this.input.value.trim()));
    this.suggest();
  }

  suggest() {
    const text = this.input.value;
    this.found = text.includes("\n") ? [] : suggestionsFor(text, state.workspace.commands);
    if (this.found.length === 1 && this.found[0].insert.trim() === text.trim() && text.includes(" ")) this.found = [];
    if (!this.found.length) { this.close(); return; }
    // A command's name is completed by Enter; a suggestion only once it was chosen, so that Enter sends what was typed.
    this.chosen = text.includes(" ") ? -1 : 0;
    this.open(text);
  }

  open(text) {
    const command = state.workspace.commands.find((one) => text.startsWith(`${one.command} `));
    const title = command ? `${command.command} ${command.usage_hint}` : "Commands";
    this.popup.replaceChildren(
      h("div", { class: "suggestions-title" }, h("span", {}, title), h("span", {}, "↑↓ choose · Tab complete")),
      h("ul", { role: "listbox", id: this.id, "aria-label": "Suggestions" }, this.found.map((one, index) => h("li", {
        class: "suggestion", role: "option", id: `${this.id}-${index}`, "aria-selected": "false",
        onpointerdown: (event) => { event.preventDefault(); this.complete(index); },
      }, h("span", { class: "what" }, marked(one), one.hint ? ` ${one.hint}` : null), h("span", { class: "help" }, one.help)))));
    this.popup.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.mark();
  }

  close() {
    this.popup.hidden = true;
    this.chosen = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  mark() {
    const items = [...this.popup.querySelectorAll(".suggestion")];
    items.forEach((item, index) => item.setAttribute("aria-selected", String(index === this.chosen)));
    items[this.chosen]?.scrollIntoView({ block: "nearest" });
    if (this.chosen >= 0) this.input.setAttribute("aria-activedescendant", `${this.id}-${this.chosen}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  complete(index) {
    const one = this.found[Math.max(index, 0)];
    this.input.value = one.insert;
    const gap = /<[^>]+>|\[[^\]]+\]/.exec(one.insert);
    this.input.focus();
    if (gap) this.input.setSelectionRange(gap.index, gap.index + gap[0].length);
    const whole = !one.insert.endsWith(" ");
    this.typed();
    if (whole) this.close();
  }

  key(event) {
    const open = !this.popup.hidden;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const from = this.chosen < 0 && step < 0 ? 0 : this.chosen;
      this.chosen = (from + step + this.found.length) % this.found.length;
      this.mark();
    } else if (open && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      this.complete(this.chosen);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (open && this.chosen >= 0) this.complete(this.chosen);
      else this.send();
    } else if (event.key === "ArrowUp" && !this.input.value && this.last) {
      event.preventDefault();
      this.input.value = this.last;
      this.typed();
      this.close();
    }
  }

  async send() {
    const text = this.input.value.trim();
    if (!text) return;
    this.last = text;
    this.input.value = "";
    this.typed();
    this.close();
    this.onSent();
    if (text.startsWith("/")) { await this.command(text); return; }
    const answer = await send("/sandbox/post", { user: state.user, channel: this.channel, text: written(text), thread_ts: this.thread });
    if (!answer.ok) {
      toast(`Not sent: ${answer.error}`);
      this.input.value = text;
      this.typed();
    }
  }

  async command(text) {
    if (this.thread) {
      toast(`${text.split(" ")[0]} is not supported in threads. Sorry!`);
      this.input.value = text;
      this.typed();
      return;
    }
    const answer = await send("/sandbox/command", { user: state.user, channel: this.channel, text });
    if (!answer.ok && !answer.message) toast(`${text.split(" ")[0]} failed: ${answer.error}`);
  }
}

function marked(one) {
  const same = one.what.toLowerCase().startsWith(one.typed.toLowerCase()) ? one.typed.length : 0;
  return same ? [h("b", {}, one.what.slice(0, same)), one.what.slice(same)] : [one.what];
}

// What Slack's client makes of plain typing: escaped, with mentions as references.
function written(text) {
  const { people, channels, usergroups, bot } = state.workspace;
  const escaped = text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  return escaped
    .replace(/(?<![\w@])@([\w.-]+)/g, (whole, name) => {
      if (["here", "channel", "everyone"].includes(name)) return `<!${name}>`;
      const user = people.find((one) => one.name === name)?.id ?? ([bot.name, bot.display].includes(name) ? bot.user_id : null);
      if (user) return `<@${user}>`;
      const group = usergroups.find((one) => one.handle === name);
      return group ? `<!subteam^${group.id}|@${group.handle}>` : whole;
    })
    .replace(/(?<!\w)#([\w-]+)/g, (whole, name) => {
      const known = channels.find((one) => one.name === name);
      return known ? `<#${known.id}|${known.name}>` : whole;
    })
    .replace(/(?<![\w<])(https?:\/\/[^\s<]+[^\s<.,;:)])/g, "<$1>");
}
