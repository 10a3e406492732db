// Block Kit as nodes.
import { dataVisualization } from "./charts.js";
import { h } from "./dom.js";
import { interactive } from "./elements.js";
import { textObject } from "./mrkdwn.js";
import { markdown, richText } from "./richtext.js";
import { dataTable, table } from "./tables.js";
import { plan, taskCard } from "./tasks.js";

function picture(element) {
  const address = element.image_url ?? element.slack_file?.url ?? "";
  const local = address.startsWith("data:") || new URL(address || "/", location.href).origin === location.origin;
  if (!local) return h("span", { class: "unknown" }, element.alt_text || "picture");
  return h("img", { src: address, alt: element.alt_text, loading: "lazy" });
}

function card(block, surface) {
  return h("div", { class: "card" },
    block.title ? h("div", { class: "card-title" }, textObject(block.title)) : null,
    block.subtitle ? h("div", { class: "card-subtitle" }, textObject(block.subtitle)) : null,
    block.body ? h("div", { class: "text" }, textObject(block.body)) : null,
    block.actions?.length ? h("div", { class: "block-actions" }, block.actions.map((element) => interactive(element, block, surface))) : null);
}

function input(block, surface) {
  const control = interactive(block.element, block, surface);
  const group = ["radio_buttons", "checkboxes"].includes(block.element.type);
  const id = `input-${block.block_id}`;
  if (group) control.setAttribute("aria-labelledby", id);
  else { control.id = id; control.removeAttribute("aria-label"); }
  const label = [textObject(block.label), block.optional ? h("span", { class: "optional" }, " (optional)") : null];
  return h("div", { class: "block-input", data: { block: block.block_id } },
    group ? h("div", { class: "label", id }, label) : h("label", { for: id }, label),
    control,
    block.hint ? h("div", { class: "hint" }, textObject(block.hint)) : null);
}

const DRAW = {
  header: (block) => h("div", { class: "block-header", role: "heading", "aria-level": "3" }, textObject(block.text)),
  section: (block, surface) => h("div", { class: "block-section" },
    block.text ? h("div", { class: "text" }, textObject(block.text)) : null,
    block.accessory ? h("div", { class: "accessory" }, block.accessory.type === "image" ? picture(block.accessory) : interactive(block.accessory, block, surface)) : null,
    block.fields ? h("div", { class: "fields" }, block.fields.map((field) => h("div", { class: "text" }, textObject(field)))) : null),
  divider: () => h("hr", { class: "block-divider" }),
  context: (block) => h("div", { class: "block-context" }, block.elements.map((element) => (element.type === "image"
    ? picture(element) : h("span", { class: "text" }, textObject(element))))),
  actions: (block, surface) => h("div", { class: "block-actions" }, block.elements.map((element) => interactive(element, block, surface))),
  image: (block) => h("div", { class: "block-image" }, block.title ? h("div", { class: "title" }, textObject(block.title)) : null, picture(block)),
  input,
  rich_text: (block) => h("div", { class: "text" }, richText(block)),
  markdown: (block) => h("div", { class: "text" }, markdown(block.text)),
  table,
  data_table: dataTable,
  data_visualization: dataVisualization,
  plan,
  task_card: taskCard,
  card,
  alert: (block) => h("div", { class: `alert text ${block.level ?? "default"}`, role: "note" }, textObject(block.text)),
};

export function blocks(list, surface) {
  return h("div", { class: "blocks" }, list.map((block) => {
    const draw = DRAW[block.type];
    const shown = draw ? draw(block, surface) : h("div", { class: "unknown" }, `A ${block.type} block`);
    shown.classList.add("block");
    return shown;
  }));
}
