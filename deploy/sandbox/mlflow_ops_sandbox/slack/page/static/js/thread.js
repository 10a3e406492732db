// The thread at the right.
import { read } from "./api.js";
import { Composer } from "./composer.js";
import { clear, h, icon } from "./dom.js";
import { MessageList } from "./list.js";
import { channel as channelOf, state } from "./state.js";

let list = null;

export const threadList = () => list;

export async function drawThread(element, { close }) {
  element.hidden = !state.thread;
  if (!state.thread) { list = null; clear(element); return; }
  const [channel, ts] = [state.place, state.thread];
  const [said, mine] = await Promise.all([
    read("/sandbox/thread", { channel, ts }), read("/sandbox/ephemerals", { channel, user: state.user }),
  ]);
  if (state.thread !== ts || state.place !== channel) return;
  if (!said.messages) { close(); return; }
  list = new MessageList({ channel, inThread: true, label: "Replies" });
  const composer = new Composer({ channel, thread: ts, onSent: () => list.toBottom() });
  const known = channelOf(channel);
  clear(element).append(
    h("header", { class: "head" }, h("h2", {}, "Thread"), h("span", { class: "topic" }, known ? `# ${known.name}` : state.workspace.bot.display),
      h("span", { class: "head-side" }, h("button", { class: "icon-button", type: "button", "aria-label": "Close thread", title: "Close (Esc)", onclick: close }, icon("close")))),
    list.scroll, h("div", { class: "foot" }, composer.element));
  list.load([...said.messages, ...mine.messages.filter((message) => message.thread_ts === ts)]);
}

export function belongsToThread(channel, message) {
  return Boolean(list) && channel === state.place && (message.thread_ts === state.thread || message.ts === state.thread);
}
