// The page starts here: who, where, which thread; then news as it comes.
import { listen, read } from "./api.js";
import { drawPlace, focusComposer, openList, showHome } from "./channel.js";
import { announce } from "./dom.js";
import { showModal } from "./modal.js";
import { drawSidebar } from "./sidebar.js";
import { channel as channelOf, direct, loadWorkspace, nameOf, state } from "./state.js";
import { startTheme } from "./theme.js";
import { belongsToThread, drawThread, threadList } from "./thread.js";
import { ago } from "./times.js";

const element = (id) => document.getElementById(id);
const root = document.documentElement;
let stopListening = () => {};

// #C123, #C123/1700000.0001 (a thread), #C123/1700000.0001/1700000.0002 (a reply in it), #home
function place() {
  const [where, ts, reply] = decodeURIComponent(location.hash.slice(1)).split("/");
  const known = where === "home" || channelOf(where) || where === direct();
  return { where: known ? where : state.workspace.channels[0].id, ts: known && where !== "home" ? ts || null : null, reply };
}

function go(where, ts) {
  location.hash = ts ? `#${where}/${ts}` : `#${where}`;
}

const openThread = (ts) => go(state.place, state.thread === ts ? null : ts);

function closeThread() {
  const ts = state.thread;
  go(state.place, null);
  requestAnimationFrame(() => document.querySelector(`[data-thread="${ts}"]`)?.focus());
}

// News that comes while something is being loaded waits until that is drawn: what was loaded may be older.
let loading = 0;
const held = [];

function heard(event) {
  if (loading) held.push(event);
  else HANDLERS[event.type]?.(event);
}

async function show(options) {
  loading += 1;
  try {
    await load(options);
  } finally {
    loading -= 1;
    if (!loading) for (const event of held.splice(0)) HANDLERS[event.type]?.(event);
  }
}

async function load({ whole = false } = {}) {
  element("app").classList.remove("with-sidebar");
  const { where, ts, reply } = place();
  const moved = whole || where !== state.place;
  const before = state.thread;
  Object.assign(state, { place: where, thread: ts });
  state.unread.delete(where);
  sidebar();
  if (moved) await drawPlace(element("main"), { openThread });
  if (moved || ts !== before) await drawThread(element("thread"), { close: closeThread });
  for (const button of document.querySelectorAll("[data-thread]")) button.setAttribute("aria-expanded", String(button.dataset.thread === ts));
  if (reply) threadList()?.flash(reply);
  document.title = `${channelOf(where)?.name ?? state.workspace.bot.display} · ${state.workspace.team.name}`;
}

function sidebar() {
  drawSidebar(element("sidebar"), { become });
}

async function become(user) {
  if (user === state.user) return;
  const wasDirect = state.place === direct();
  state.user = user;
  state.unread.clear();
  localStorage.setItem("person", user);
  stopListening();
  sidebar();
  // First listen, then load: what happens in between would otherwise be missed.
  await connect();
  showModal((await read("/sandbox/view", { user })).view);
  if (wasDirect) { go(direct(), null); return; }
  await show({ whole: true });
}

// Resolves once the stream of news is open.
function connect() {
  return new Promise((resolve) => {
    stopListening = listen(state.user, {
      onEvent: heard,
      onOpen: resolve,
      onBack: async () => { await loadWorkspace(); await show({ whole: true }); },
    });
  });
}

const HANDLERS = {
  message: ({ channel, message }) => {
    const inMain = !message.thread_ts || message.thread_ts === message.ts || message.subtype === "thread_broadcast";
    let fresh = false;
    if (channel === state.place && inMain) fresh = openList()?.put(message) ?? false;
    if (belongsToThread(channel, message)) fresh = threadList().put(message) || fresh;
    if (fresh && message.user !== state.user) announce(`${nameOf(message.user)}: ${message.text}`);
    if (channel !== state.place && inMain && !message.edited && !message.reply_count && !message.reactions && (channelOf(channel) || channel === direct())) {
      state.unread.set(channel, (state.unread.get(channel) ?? 0) + 1);
      sidebar();
    }
  },
  message_deleted: ({ channel, ts }) => {
    if (channel !== state.place) return;
    openList()?.remove(ts);
    threadList()?.remove(ts);
    if (state.thread === ts) closeThread();
  },
  ephemeral: ({ channel, message }) => {
    if (channel !== state.place) return;
    const inThread = belongsToThread(channel, message);
    const fresh = inThread ? threadList().put(message) : !message.thread_ts && openList()?.put(message);
    if (fresh) announce(`Only visible to you: ${message.text}`);
  },
  ephemeral_deleted: ({ channel, ts }) => {
    if (channel !== state.place) return;
    openList()?.remove(ts);
    threadList()?.remove(ts);
  },
  home: ({ view }) => showHome(view),
  modal: ({ view }) => showModal(view),
  connection: ({ connection }) => { state.workspace.connection = connection; sidebar(); },
};

function keys(event) {
  if (event.altKey && /^[1-9]$/.test(event.key)) {
    const one = state.workspace.people[Number(event.key) - 1];
    if (one) { event.preventDefault(); become(one.id).then(focusComposer); }
  }
  if (event.key === "Escape" && state.thread && !event.defaultPrevented && !document.querySelector("dialog[open]")) closeThread();
}

function refreshTimes() {
  for (const shown of document.querySelectorAll("[data-ago]")) shown.textContent = `Last reply ${ago(shown.dataset.ago)}`;
}

async function start() {
  startTheme();
  await loadWorkspace();
  const { people } = state.workspace;
  const asked = new URLSearchParams(location.search).get("person") ?? localStorage.getItem("person");
  const found = people.find((one) => one.id === asked || one.name === asked);
  state.user = (found ?? people[Math.min(1, people.length - 1)]).id;
  addEventListener("hashchange", () => show());
  element("main").addEventListener("pointerdown", (event) => {
    if (!event.target.closest("#menu")) { element("app").classList.remove("with-sidebar"); element("menu")?.setAttribute("aria-expanded", "false"); }
  });
  addEventListener("keydown", keys);
  element("skip").addEventListener("click", (event) => { event.preventDefault(); element("main").focus(); });
  setInterval(refreshTimes, 20_000);
  await connect();
  await show({ whole: true });
  showModal((await read("/sandbox/view", { user: state.user })).view);
  focusComposer();
  if (state.workspace.panel) {
    const panel = await import("/page/panel/panel.js");
    element("panel").hidden = false;
    panel.mount(element("panel"));
    // Who comes with a person in the address has been here, or is led by something else.
    const tour = await import("/page/panel/tour.js");
    await tour.mount(document.body, { first: !asked && !localStorage.getItem("tour") });
  }
  root.dataset.ready = "true";
}

start();
