// Files in a message: pictures, tables from CSV, the first lines of texts, and a way to download each.
import { h, icon } from "./dom.js";

const ROWS = 8;

export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB"];
  let [value, unit] = [bytes / 1024, 0];
  while (value >= 1024 && unit < 2) { value /= 1024; unit += 1; }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

// Rows of a CSV text; quotes may hold commas, quotes and line ends.
export function csv(text) {
  const rows = [[]];
  const cells = /("(?:[^"]|"")*"|[^,\n]*)(,|\r?\n|$)/g;
  for (const match of text.matchAll(cells)) {
    const [whole, raw, end] = match;
    if (!whole && match.index >= text.length) break;
    rows.at(-1).push(raw.startsWith("\"") ? raw.slice(1, -1).replace(/""/g, "\"") : raw);
    if (end.includes("\n")) rows.push([]);
  }
  return rows.filter((row) => row.length);
}

function preview(file, address) {
  if (/^image\/(png|jpeg|gif|webp)$/.test(file.mimetype)) return [h("img", { src: address, alt: file.alt_txt || file.title, loading: "lazy" })];
  if (!file.preview) return [];
  if (file.mimetype === "text/csv") {
    const rows = csv(file.preview);
    const [head, ...body] = rows;
    const shown = body.slice(0, ROWS);
    return [
      h("div", { class: "table-wrap" }, h("table", {},
        h("thead", {}, h("tr", {}, (head ?? []).map((cell) => h("th", {}, cell)))),
        h("tbody", {}, shown.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))))),
      body.length > ROWS ? h("div", { class: "file-more" }, `The first ${ROWS} rows`) : null,
    ];
  }
  return [h("pre", {}, file.preview.split("\n").slice(0, 20).join("\n"))];
}

export function fileCard(file) {
  const kind = (file.filetype || "file").slice(0, 4);
  const address = `/sandbox/files/${file.id}/${encodeURIComponent(file.name)}`;
  return h("div", { class: "file" },
    h("div", { class: "file-head" },
      h("span", { class: `file-kind ${kind}`, "aria-hidden": "true" }, kind),
      h("div", {}, h("div", { class: "file-name" }, file.title || file.name), h("div", { class: "file-size" }, `${file.name !== file.title ? `${file.name} · ` : ""}${size(file.size)}`)),
      h("a", { class: "icon-button", href: `${address}?download=1`, download: file.name, "aria-label": `Download ${file.name}`, title: "Download" }, icon("download"))),
    preview(file, address));
}
