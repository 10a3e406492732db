// Slack's mrkdwn as nodes. Everything that is not recognised stays text.
import { h } from "./dom.js";
import { emoji, withEmoji } from "./emoji.js";
import { channel, group, nameOf, state } from "./state.js";
import { dated } from "./times.js";

const unescape = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

export function safeLink(address, children) {
  if (!/^(https?:|mailto:)/i.test(address)) return h("span", {}, children);
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, children);
}

export function mention(kind, id) {
  if (kind === "user") {
    return h("span", { class: `mention ${id === state.user ? "me" : ""}`, data: { user: id } }, `@${nameOf(id)}`);
  }
  if (kind === "channel") {
    const known = channel(id);
    return h("a", { class: "mention", href: `#${id}` }, `#${known?.name ?? id}`);
  }
  if (kind === "usergroup") {
    const known = group(id);
    const mine = known?.users.includes(state.user);
    return h("span", { class: `mention ${mine ? "me" : ""}` }, `@${known?.handle ?? id}`);
  }
  return h("span", { class: "mention loud" }, `@${id}`);
}

// <…>: a link, a mention, a date.
function angled(inside) {
  const bar = inside.indexOf("|");
  const [target, label] = bar < 0 ? [inside, ""] : [inside.slice(0, bar), inside.slice(bar + 1)];
  if (target.startsWith("@")) return mention("user", target.slice(1));
  if (target.startsWith("#")) return mention("channel", target.slice(1));
  if (target.startsWith("!date^")) {
    const [, seconds, pattern, address] = target.split("^");
    const shown = h("span", { title: dated(seconds, "{date_long} {time_secs}", label) }, dated(seconds, pattern, unescape(label)));
    return address ? safeLink(address, shown) : shown;
  }
  if (target.startsWith("!subteam^")) return mention("usergroup", target.slice(9));
  if (target.startsWith("!")) return mention("special", label || target.slice(1));
  return safeLink(unescape(target), withEmoji(unescape(label || target.replace(/^mailto:/, ""))));
}

const TOKEN = /`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*(?=\S)([^*\n]*[^\s*])\*(?![\w*])|(?<![\w_])_(?=\S)([^_\n]*[^\s_])_(?![\w_])|(?<![\w~])~(?=\S)([^~\n]*[^\s~])~(?![\w~])|\n/gu;

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > end) nodes.push(...withEmoji(unescape(text.slice(end, match.index))));
    end = match.index + match[0].length;
    const [whole, code, inside, bold, italic, struck] = match;
    if (whole === "\n") nodes.push(h("br"));
    else if (code !== undefined) nodes.push(h("code", {}, codeText(code)));
    else if (inside !== undefined) nodes.push(angled(inside));
    else if (bold !== undefined) nodes.push(h("strong", {}, inline(bold)));
    else if (italic !== undefined) nodes.push(h("em", {}, inline(italic)));
    else nodes.push(h("s", {}, inline(struck)));
  }
  if (end < text.length) nodes.push(...withEmoji(unescape(text.slice(end))));
  return nodes;
}

const codeText = (text) => unescape(text.replace(/<((?:https?|mailto):[^|>]+)(?:\|([^>]*))?>/g, (_, address, label) => label || address));

const QUOTE = /^(?:&gt;|>) ?/;
const ITEM = /^(\s*)([•◦▪-]|\d{1,3}[.)]) +(.*)$/;

function lines(text) {
  const nodes = [];
  let plain = [];
  const flush = () => {
    if (plain.length) nodes.push(h("div", {}, inline(plain.join("\n"))));
    plain = [];
  };
  const rows = text.split("\n");
  for (let index = 0; index < rows.length; index += 1) {
    const item = ITEM.exec(rows[index]);
    if (QUOTE.test(rows[index])) {
      flush();
      const quoted = [];
      for (; index < rows.length && QUOTE.test(rows[index]); index += 1) quoted.push(rows[index].replace(QUOTE, ""));
      index -= 1;
      nodes.push(h("blockquote", {}, lines(quoted.join("\n"))));
    } else if (item) {
      flush();
      const line = h("div", { class: "list-line" }, h("span", {}, item[2] === "-" ? "–" : item[2]), h("span", {}, inline(item[3])));
      line.style.marginLeft = `${item[1].length * 8}px`;
      nodes.push(line);
    } else {
      plain.push(rows[index]);
    }
  }
  flush();
  return nodes;
}

export function mrkdwn(text) {
  const nodes = [];
  text.split(/```/).forEach((part, index, all) => {
    if (index % 2 === 1 && index < all.length - 1) nodes.push(h("pre", {}, codeText(part.replace(/^\n|\n$/g, ""))));
    else if (index % 2 === 1) nodes.push(...lines(`\`\`\`${part}`));
    else {
      const between = index > 0 ? part.replace(/^\n/, "") : part;
      if (between) nodes.push(...lines(between.replace(index < all.length - 1 ? /\n$/ : /$^/, "")));
    }
  });
  return nodes;
}

// A text object of Block Kit.
export function textObject(object) {
  if (!object) return [];
  if (object.type === "mrkdwn") return mrkdwn(object.text);
  return object.text.split("\n").flatMap((line, index) => [index ? h("br") : null, ...withEmoji(line)]);
}

export { emoji };
