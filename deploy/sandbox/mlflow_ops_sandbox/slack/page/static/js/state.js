// What every part of the page needs to know: the workspace, who is typing, what is open.
import { read } from "./api.js";

export const state = {
  workspace: null,
  user: null, // id of the person who types
  place: null, // a channel id, or "home"
  thread: null, // ts of the open thread's first message
  unread: new Map(), // channel id → count
};

export async function loadWorkspace() {
  state.workspace = await read("/sandbox/workspace");
}

export const me = () => person(state.user);
export const person = (id) => state.workspace.people.find((one) => one.id === id);
export const channel = (id) => state.workspace.channels.find((one) => one.id === id);
export const group = (id) => state.workspace.usergroups.find((one) => one.id === id);
export const direct = () => me().direct;
export const isDirect = (place) => place === "home" || place === direct();

export function nameOf(userId) {
  const { bot } = state.workspace;
  if (userId === bot.user_id || userId === bot.bot_id) return bot.display;
  if (userId === "USLACKBOT") return "Slackbot";
  return person(userId)?.real_name ?? userId;
}

// What was chosen in inputs that are not submitted yet, by surface (a message or a view): it survives
// an update of the message, as in Slack.
const chosen = new Map();
export function valuesOf(surface) {
  const key = surface.view_id ?? `${surface.channel}/${surface.ts}/${state.user}`;
  if (!chosen.has(key)) chosen.set(key, {});
  return chosen.get(key);
}
