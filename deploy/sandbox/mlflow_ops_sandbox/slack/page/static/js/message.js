// One message as an element, wherever it stands: channel, thread, list of pins.
import { send } from "./api.js";
import { avatar } from "./avatar.js";
import { blocks } from "./blocks.js";
import { h, icon, toast } from "./dom.js";
import { QUICK, emoji } from "./emoji.js";
import { fileCard } from "./files.js";
import { mrkdwn } from "./mrkdwn.js";
import { nameOf, person, state } from "./state.js";
import { ago, clock, date, exact } from "./times.js";

const stamp = (ts, cls) => h("time", { class: cls, datetime: date(ts).toISOString(), title: exact(ts) }, clock(ts));

function body(message, surface) {
  if (message.subtype === "tombstone") return [h("div", { class: "deleted" }, message.text)];
  // As in Slack, only a changed text is marked; changed blocks are not.
  const edited = message.edited && !message.blocks?.length
    ? h("span", { class: "edited", title: exact(message.edited.ts) }, " (edited)") : null;
  const shown = [];
  if (message.blocks?.length) {
    shown.push(blocks(message.blocks, surface));
    if (edited) shown.push(h("div", { class: "edited" }, "(edited)"));
  } else if (message.text) {
    const text = h("div", { class: "text" }, mrkdwn(message.text));
    if (edited) (text.lastElementChild?.tagName === "DIV" ? text.lastElementChild : text).append(edited);
    shown.push(text);
  }
  for (const attachment of message.attachments ?? []) {
    const box = h("div", { class: "attachment text" }, attachment.title ? h("strong", {}, attachment.title) : null,
      attachment.blocks ? blocks(attachment.blocks, surface) : mrkdwn(attachment.text ?? attachment.fallback ?? ""));
    if (/^#?[0-9a-f]{6}$/i.test(attachment.color ?? "")) box.style.borderColor = `#${attachment.color.replace("#", "")}`;
    else if (attachment.color) box.style.borderColor = { good: "#2eac5c", warning: "#f5b921", danger: "#e0294f" }[attachment.color] ?? "";
    shown.push(box);
  }
  for (const file of message.files ?? []) shown.push(fileCard(file));
  return shown;
}

function reactions(message, channel) {
  if (!message.reactions?.length) return null;
  return h("div", { class: "marks" }, message.reactions.map((reaction) => {
    const mine = reaction.users.includes(state.user);
    const who = reaction.users.map(nameOf).join(", ");
    return h("button", {
      class: `reaction ${mine ? "mine" : ""}`, type: "button", title: `${who} reacted with :${reaction.name}:`,
      "aria-label": `${reaction.count} :${reaction.name}:, by ${who}`, "aria-pressed": String(mine),
      onclick: () => send("/sandbox/react", { user: state.user, channel, ts: message.ts, name: reaction.name }),
    }, emoji(reaction.name) ?? `:${reaction.name}:`, String(reaction.count));
  }));
}

function replies(message, { openThread, inThread }) {
  if (!message.reply_count || inThread) return null;
  const count = `${message.reply_count} ${message.reply_count === 1 ? "reply" : "replies"}`;
  return h("button", { class: "replies", type: "button", "aria-expanded": String(state.thread === message.ts), data: { thread: message.ts }, onclick: () => openThread(message.ts) },
    h("span", { class: "faces" }, (message.reply_users ?? []).slice(0, 4).map((user) => avatar(user, "small"))),
    h("span", { class: "count" }, count),
    h("span", { class: "last", data: { ago: message.latest_reply } }, `Last reply ${ago(message.latest_reply)}`));
}

function tools(message, channel, { openThread, inThread }) {
  if (message.subtype === "tombstone") return null;
  const react = (name) => send("/sandbox/react", { user: state.user, channel, ts: message.ts, name });
  const remove = async () => {
    const answer = await send("/sandbox/delete", { user: state.user, channel, ts: message.ts });
    if (!answer.ok) toast(`Not deleted: ${answer.error}`);
  };
  return h("div", { class: "tools", role: "toolbar", "aria-label": "Message actions" },
    QUICK.slice(0, 3).map((name) => h("button", { class: "icon-button", type: "button", title: `React with :${name}:`, "aria-label": `React with :${name}:`, onclick: () => react(name) }, emoji(name))),
    inThread || !openThread ? null : h("button", { class: "icon-button", type: "button", title: "Reply in thread", "aria-label": "Reply in thread", onclick: () => openThread(message.ts) }, icon("reply")),
    message.user === state.user ? h("button", { class: "icon-button", type: "button", title: "Delete", "aria-label": "Delete message", onclick: remove }, icon("trash")) : null);
}

function above(message, channel) {
  const notes = [];
  if (message.is_ephemeral) {
    const dismiss = () => send("/sandbox/dismiss", { user: state.user, channel, ts: message.ts });
    notes.push(h("div", { class: "above" }, icon("eye"), "Only visible to you",
      h("a", { href: "#", role: "button", onclick: (event) => { event.preventDefault(); dismiss(); } }, " Dismiss")));
  }
  if (message.pinned_to) notes.push(h("div", { class: "above" }, icon("pin"), "Pinned"));
  if (message.subtype === "thread_broadcast") notes.push(h("div", { class: "above" }, icon("reply"), "also sent to the channel"));
  return notes;
}

export function messageElement(message, { channel, joined = false, inThread = false, openThread = null }) {
  const bot = Boolean(message.bot_id);
  const author = message.user ?? message.bot_id;
  const name = message.subtype === "tombstone" ? "" : nameOf(author);
  const surface = { channel, ts: message.ts };
  const notes = above(message, channel);
  const together = joined && !notes.length;
  return h("li", {
    class: `message ${together ? "joined" : ""} ${message.is_ephemeral ? "ephemeral" : ""} ${message.pinned_to ? "pinned" : ""}`,
    data: { ts: message.ts, user: author },
  },
  notes,
  together ? stamp(message.ts, "gutter-time") : avatar(author),
  h("div", {},
    together ? h("span", { class: "visually-hidden" }, `${name}, ${clock(message.ts)}: `) : h("div", { class: "by" },
      h("span", { class: "who" }, name),
      bot ? h("span", { class: "badge-app" }, "APP") : h("span", { class: "role" }, person(author)?.role_label ?? ""),
      stamp(message.ts)),
    body(message, surface),
    reactions(message, channel),
    replies(message, { openThread, inThread })),
  message.is_ephemeral ? null : tools(message, channel, { openThread, inThread }));
}
