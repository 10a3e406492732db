// Shortcodes of the emoji that operations talk uses. Those that carry a status are drawn by ourselves
// (emoji.svg), so that they look the same on a machine without an emoji font.
import { h, sprite } from "./dom.js";

const DRAWN = new Set(["white_check_mark", "heavy_check_mark", "x", "warning", "question", "exclamation", "red_circle",
  "large_green_circle", "large_yellow_circle", "large_orange_circle", "large_blue_circle", "white_circle",
  "black_circle", "hourglass_flowing_sand", "mag", "rocket", "rotating_light", "lock", "bell", "information_source",
  "eyes", "no_entry", "no_entry_sign", "package", "arrows_counterclockwise", "clock3", "fire", "pushpin",
  "grey_question", "thumbsup"]);
const ALIASES = { "+1": "thumbsup", green_circle: "large_green_circle", yellow_circle: "large_yellow_circle",
  large_red_circle: "red_circle", heavy_exclamation_mark: "exclamation", hourglass: "hourglass_flowing_sand",
  heavy_multiplication_x: "x", mag_right: "mag", ballot_box_with_check: "white_check_mark",
  octagonal_sign: "no_entry", repeat: "arrows_counterclockwise", stopwatch: "clock3", alarm_clock: "clock3" };
const CHARACTERS = {
  thumbsdown: "👎", "-1": "👎", tada: "🎉", raised_hands: "🙌", wave: "👋", pray: "🙏",
  clap: "👏", heart: "❤️", smile: "😄", slightly_smiling_face: "🙂", thinking_face: "🤔", robot_face: "🤖", boom: "💥",
  zap: "⚡", gear: "⚙️", wrench: "🔧", hammer: "🔨", hammer_and_wrench: "🛠️", key: "🔑", shield: "🛡️", bulb: "💡",
  memo: "📝", clipboard: "📋", page_facing_up: "📄", file_folder: "📁", card_index_dividers: "🗂️", floppy_disk: "💾",
  minidisc: "💽", inbox_tray: "📥", outbox_tray: "📤", wastebasket: "🗑️", chart_with_upwards_trend: "📈",
  chart_with_downwards_trend: "📉", bar_chart: "📊", calendar: "📅", spiral_calendar_pad: "🗓️", link: "🔗",
  scroll: "📜", label: "🏷️", test_tube: "🧪", microscope: "🔬", construction: "🚧", sos: "🆘", new: "🆕",
  arrow_up: "⬆️", arrow_down: "⬇️", arrow_right: "➡️", arrow_left: "⬅️", arrow_forward: "▶️", rewind: "⏪",
  leftwards_arrow_with_hook: "↩️", black_square_for_stop: "⏹️", double_vertical_bar: "⏸️", star: "⭐", sparkles: "✨",
  whale: "🐳", elephant: "🐘", snake: "🐍", cloud: "☁️", sunny: "☀️", speech_balloon: "💬", mega: "📣",
  busts_in_silhouette: "👥", bust_in_silhouette: "👤", unlock: "🔓", closed_lock_with_key: "🔐", electric_plug: "🔌",
  satellite_antenna: "📡", computer: "💻", desktop_computer: "🖥️", point_right: "👉", point_up: "☝️", zzz: "💤",
  large_purple_circle: "🟣", large_brown_circle: "🟤", ok: "🆗", hand: "✋", skull: "💀", ghost: "👻", coffee: "☕",
  no_bell: "🔕", cyclone: "🌀",
};
// The same signs written as characters.
const AS_CHARACTER = { "✅": "white_check_mark", "✔": "heavy_check_mark", "❌": "x", "⚠": "warning", "❓": "question",
  "❗": "exclamation", "🔴": "red_circle", "🟢": "large_green_circle", "🟡": "large_yellow_circle",
  "🟠": "large_orange_circle", "🔵": "large_blue_circle", "⚪": "white_circle", "⚫": "black_circle",
  "⏳": "hourglass_flowing_sand", "⌛": "hourglass_flowing_sand", "🔍": "mag", "🔎": "mag", "🚀": "rocket", "🚨": "rotating_light",
  "🔒": "lock", "🔔": "bell", "ℹ": "information_source", "👀": "eyes", "⛔": "no_entry", "🚫": "no_entry_sign",
  "📦": "package", "🔄": "arrows_counterclockwise", "🕒": "clock3", "🔥": "fire", "📌": "pushpin",
  "❔": "grey_question", "👍": "thumbsup" };

const WORDS = /:([a-z0-9_+'-]+)(?:::skin-tone-[2-6])?:|(✅|✔|❌|⚠|❓|❗|🔴|🟢|🟡|🟠|🔵|⚪|⚫|⏳|⌛|🔍|🔎|🚀|🚨|🔒|🔔|ℹ|👀|⛔|🚫|📦|🔄|🕒|🔥|📌|❔|👍)\ufe0f?/gu;

export const QUICK = ["white_check_mark", "eyes", "+1", "warning", "rocket"];

export function emoji(name) {
  const known = ALIASES[name] ?? name;
  if (DRAWN.has(known)) return sprite(known, `:${name}:`);
  const character = CHARACTERS[known];
  if (character) return h("span", { class: "emoji-text", role: "img", "aria-label": `:${name}:`, title: `:${name}:` }, character);
  return null;
}

// A text as nodes, its emoji shown.
export function withEmoji(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(WORDS)) {
    const shown = emoji(match[1] ?? AS_CHARACTER[match[2]]);
    if (!shown) continue;
    if (match.index > end) nodes.push(text.slice(end, match.index));
    nodes.push(shown);
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}
