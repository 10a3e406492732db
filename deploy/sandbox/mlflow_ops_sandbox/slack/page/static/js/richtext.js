// rich_text blocks, and markdown blocks (the common Markdown that the app sends as such).
import { h } from "./dom.js";
import { emoji, withEmoji } from "./emoji.js";
import { mention, safeLink } from "./mrkdwn.js";
import { dated } from "./times.js";

function styled(node, style = {}) {
  let shown = node;
  if (style.code) shown = h("code", {}, shown);
  if (style.bold) shown = h("strong", {}, shown);
  if (style.italic) shown = h("em", {}, shown);
  if (style.strike) shown = h("s", {}, shown);
  return shown;
}

function part(item) {
  switch (item.type) {
    case "text": return styled(h("span", {}, item.text.split("\n").flatMap((line, index) => [index ? h("br") : null, ...withEmoji(line)])), item.style);
    case "link": return styled(safeLink(item.url, item.text || item.url), item.style);
    case "emoji": return emoji(item.name) ?? `:${item.name}:`;
    case "user": return mention("user", item.user_id);
    case "usergroup": return mention("usergroup", item.usergroup_id);
    case "channel": return mention("channel", item.channel_id);
    case "broadcast": return mention("special", item.range);
    case "date": return dated(item.timestamp, item.format, item.fallback);
    case "color": return h("code", {}, item.value);
    default: return "";
  }
}

const parts = (item) => (item.elements ?? []).map(part);

export function richText(block) {
  return (block.elements ?? []).map((item) => {
    if (item.type === "rich_text_preformatted") return h("pre", {}, (item.elements ?? []).map((e) => e.text ?? e.url ?? ""));
    if (item.type === "rich_text_quote") return h("blockquote", {}, parts(item));
    if (item.type === "rich_text_list") {
      const start = (item.offset ?? 0) + 1;
      return (item.elements ?? []).map((entry, index) => {
        const line = h("div", { class: "list-line" }, h("span", {}, item.style === "ordered" ? `${start + index}.` : "•"), h("span", {}, parts(entry)));
        line.style.marginLeft = `${(item.indent ?? 0) * 22}px`;
        return line;
      });
    }
    return h("div", {}, parts(item));
  });
}

const INLINE = /`([^`]+)`|\[([^\]]+)\]\(([^)\s]+)\)|\*\*(.+?)\*\*|__(.+?)__|(?<![\w*])\*(?=\S)(.+?)\*(?!\w)|(?<!\w)_(?=\S)(.+?)_(?!\w)|~~(.+?)~~/gu;

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(...withEmoji(text.slice(end, match.index)));
    end = match.index + match[0].length;
    const [, code, label, address, bold, bold2, italic, italic2, struck] = match;
    if (code !== undefined) nodes.push(h("code", {}, code));
    else if (address !== undefined) nodes.push(safeLink(address, inline(label)));
    else if ((bold ?? bold2) !== undefined) nodes.push(h("strong", {}, inline(bold ?? bold2)));
    else if ((italic ?? italic2) !== undefined) nodes.push(h("em", {}, inline(italic ?? italic2)));
    else nodes.push(h("s", {}, inline(struck)));
  }
  if (end < text.length) nodes.push(...withEmoji(text.slice(end)));
  return nodes;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function plainTable(rows) {
  const [head, , ...body] = rows;
  return h("div", { class: "table-wrap" }, h("table", {},
    h("thead", {}, h("tr", {}, cells(head).map((cell) => h("th", {}, inline(cell))))),
    h("tbody", {}, body.map((row) => h("tr", {}, cells(row).map((cell) => h("td", {}, inline(cell))))))));
}

export function markdown(text) {
  const nodes = [];
  const rows = text.split("\n");
  for (let index = 0; index < rows.length; index += 1) {
    const row = rows[index];
    const heading = /^(#{1,6}) +(.*)$/.exec(row);
    const item = /^(\s*)([-*+]|\d{1,3}[.)]) +(.*)$/.exec(row);
    if (/^```/.test(row)) {
      const code = [];
      for (index += 1; index < rows.length && !/^```/.test(rows[index]); index += 1) code.push(rows[index]);
      nodes.push(h("pre", {}, code.join("\n")));
    } else if (heading) {
      nodes.push(h("div", { class: "block-header" }, inline(heading[2])));
    } else if (/^\|/.test(row) && /^\|?[\s:|-]+$/.test(rows[index + 1] ?? "")) {
      const table = [];
      for (; index < rows.length && /\|/.test(rows[index]); index += 1) table.push(rows[index]);
      index -= 1;
      nodes.push(plainTable(table));
    } else if (item) {
      const line = h("div", { class: "list-line" }, h("span", {}, /\d/.test(item[2]) ? item[2] : "•"), h("span", {}, inline(item[3])));
      line.style.marginLeft = `${item[1].length * 8}px`;
      nodes.push(line);
    } else if (/^> ?/.test(row)) {
      nodes.push(h("blockquote", {}, inline(row.replace(/^> ?/, ""))));
    } else if (/^(-{3,}|\*{3,})$/.test(row)) {
      nodes.push(h("hr", { class: "block-divider" }));
    } else if (row.trim()) {
      nodes.push(h("div", {}, inline(row)));
    }
  }
  return nodes;
}
