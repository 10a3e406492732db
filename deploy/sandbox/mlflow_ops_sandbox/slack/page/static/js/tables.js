// Tables: `table` as it is; `data_table` sorted by a press on a heading, searched, and turned over page by page.
import { clear, h } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { richText } from "./richtext.js";

function inside(item) {
  return item.type === "rich_text" ? richText(item) : withEmoji(String(item.text ?? item.value ?? ""));
}

const textOf = (item) => (item.type === "rich_text"
  ? (item.elements ?? []).flatMap((part) => part.elements ?? []).map((one) => one.text ?? one.url ?? one.name ?? "").join("")
  : String(item.text ?? item.value ?? ""));

function cell(item, tag, settings = {}) {
  const shown = h(tag, { class: settings.align ?? "" }, inside(item));
  if (!settings.is_wrapped) shown.classList.add("one-line");
  return shown;
}

export function table(block) {
  const [head, ...rows] = block.rows;
  const settings = block.column_settings ?? [];
  const row = (items, tag) => h("tr", {}, items.map((item, index) => cell(item, tag, settings[index] ?? {})));
  return h("div", {}, h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, row(head, "th")), h("tbody", {}, rows.map((items) => row(items, "td"))))));
}

// Numbers by their value, all else by what is read; what is no number comes last.
function compare(a, b) {
  const [first, second] = [a, b].map((item) => (item.type === "raw_number" ? item.value : NaN));
  if (!Number.isNaN(first) && !Number.isNaN(second)) return first - second;
  if (Number.isNaN(first) !== Number.isNaN(second)) return Number.isNaN(first) ? 1 : -1;
  return textOf(a).localeCompare(textOf(b), undefined, { numeric: true });
}

export function dataTable(block) {
  const [head, ...all] = block.rows;
  const size = block.page_size ?? 5;
  const named = block.row_header_column_index ?? 0;
  const numeric = head.map((_, index) => all.some((row) => row[index].type === "raw_number"));
  const now = { sorted: -1, up: true, page: 0, wanted: "" };
  const body = h("tbody");
  const foot = h("div", { class: "table-foot" });
  const headings = head.map((item, index) => h("th", { scope: "col", class: numeric[index] ? "right" : "", "aria-sort": "none" },
    h("button", { type: "button", class: "sort", onclick: () => sort(index) }, inside(item), h("span", { class: "arrow", "aria-hidden": "true" }))));

  function sort(index) {
    if (now.sorted === index && !now.up) Object.assign(now, { sorted: -1, up: true });
    else Object.assign(now, { up: now.sorted !== index, sorted: index });
    now.page = 0;
    draw();
  }

  function shown() {
    const wanted = now.wanted.toLowerCase();
    const rows = all.filter((row) => !wanted || row.some((item) => textOf(item).toLowerCase().includes(wanted)));
    if (now.sorted < 0) return rows;
    const sign = now.up ? 1 : -1;
    return rows.toSorted((a, b) => sign * compare(a[now.sorted], b[now.sorted]));
  }

  function draw() {
    const rows = shown();
    const pages = Math.max(1, Math.ceil(rows.length / size));
    now.page = Math.min(now.page, pages - 1);
    headings.forEach((each, index) => {
      const on = now.sorted === index;
      each.setAttribute("aria-sort", on ? (now.up ? "ascending" : "descending") : "none");
      each.querySelector(".arrow").textContent = on ? (now.up ? "↑" : "↓") : "";
    });
    clear(body).append(...rows.slice(now.page * size, (now.page + 1) * size).map((row) => h("tr", {}, row.map((item, index) => h(
      index === named ? "th" : "td", { class: numeric[index] ? "right one-line" : "one-line", ...(index === named ? { scope: "row" } : {}) }, inside(item))))));
    const turn = (step, label, sign) => h("button", { type: "button", class: "turn", "aria-label": label, disabled: !(now.page + step in Array(pages).fill(0)),
      onclick: () => { now.page += step; draw(); } }, sign);
    const from = rows.length ? now.page * size + 1 : 0;
    clear(foot).append(h("span", {}, `${from} to ${Math.min(rows.length, (now.page + 1) * size)} of ${rows.length}`),
      ...(pages > 1 ? [turn(-1, "Previous page", "‹"), turn(1, "Next page", "›")] : []));
  }

  draw();
  const search = h("input", { type: "search", class: "table-search", placeholder: "Filter", "aria-label": `Filter ${block.caption}`,
    oninput: () => { now.wanted = search.value; now.page = 0; draw(); } });
  return h("div", { class: "data-table" },
    h("div", { class: "table-head" }, h("span", { class: "table-title" }, block.caption), all.length > size ? search : null),
    h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": block.caption },
      h("table", {}, h("caption", { class: "visually-hidden" }, block.caption), h("thead", {}, h("tr", {}, headings)), body)),
    foot);
}
