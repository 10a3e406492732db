// Interactive elements. `surface` says where they stand: {channel, ts} for a message, {view_id} for a view,
// and `submits` for input blocks, whose values wait for the modal's submit button.
import { send } from "./api.js";
import { confirmed } from "./confirm.js";
import { h, icon } from "./dom.js";
import { textObject } from "./mrkdwn.js";
import { state, valuesOf } from "./state.js";

const keyOf = (block, element) => `${block.block_id}/${element.action_id}`;

// Tell the app, and show on `control` that it is being told or that it did not answer.
async function act(surface, block, element, value, control) {
  if (!(await confirmed(element.confirm))) return false;
  control?.classList.add("busy");
  control?.parentElement?.querySelector(":scope > .failed")?.remove();
  const answer = await send("/sandbox/action", {
    user: state.user, ...place(surface), block_id: block.block_id, action_id: element.action_id, value, values: valuesOf(surface),
  });
  control?.classList.remove("busy");
  if (!answer.ok) {
    control?.after(h("span", { class: "failed", role: "alert", title: `The app did not take it: ${answer.error}` },
      iconSmall(), `This did not work (${answer.error})`));
  }
  return answer.ok;
}

function iconSmall() {
  const sign = icon("alert");
  sign.setAttribute("width", "15");
  sign.setAttribute("height", "15");
  return sign;
}

const place = ({ channel, ts, view_id: view }) => (view ? { view_id: view } : { channel, ts });

// Remember a choice; tell the app where this is not an input that waits for submit.
function choose(surface, block, element, value, control) {
  valuesOf(surface)[keyOf(block, element)] = value;
  if (!surface.submits || block.dispatch_action) return act(surface, block, element, value, control);
  return Promise.resolve(true);
}

const remembered = (surface, block, element, initial) => valuesOf(surface)[keyOf(block, element)] ?? initial;

function button(element, block, surface) {
  const style = element.style ?? "";
  const control = h("button", {
    class: `button ${style}`, type: "button", "aria-label": element.accessibility_label,
    data: { action: element.action_id, block: block.block_id },
    onclick: () => {
      if (control.classList.contains("busy")) return;
      if (element.url) window.open(element.url, "_blank", "noopener");
      act(surface, block, element, element.value, control);
    },
  }, textObject(element.text));
  return control;
}

function options(element) {
  const one = (option) => h("option", { value: option.value }, option.text.text);
  if (element.option_groups) {
    return element.option_groups.map((group) => h("optgroup", { label: group.label.text }, group.options.map(one)));
  }
  return (element.options ?? []).map(one);
}

// People and channels to choose from, as options.
function offered(element) {
  const { people, channels } = state.workspace;
  const asOption = (value, text) => ({ value, text: { type: "plain_text", text } });
  if (element.type.includes("users")) return people.map((one) => asOption(one.id, one.real_name));
  return channels.map((one) => asOption(one.id, `# ${one.name}`));
}

const INITIAL = { users: "initial_user", channels: "initial_channel", conversations: "initial_conversation" };

function select(element, block, surface) {
  const multiple = element.type.startsWith("multi_");
  const kind = Object.keys(INITIAL).find((name) => element.type.includes(name));
  const whole = kind ? { ...element, options: offered(element) } : element;
  const first = kind
    ? element[`${INITIAL[kind]}${multiple ? "s" : ""}`]
    : multiple ? element.initial_options?.map((option) => option.value) : element.initial_option?.value;
  const value = remembered(surface, block, element, first);
  const control = h("select", {
    class: "select", multiple, "aria-label": element.placeholder?.text ?? "Choose",
    data: { action: element.action_id, block: block.block_id },
    onchange: async () => {
      const chosen = multiple ? [...control.selectedOptions].map((option) => option.value) : control.value;
      const before = control.dataset.before;
      if (!(await choose(surface, block, element, chosen, control)) && !multiple) control.value = before ?? "";
      else control.dataset.before = control.value;
    },
  });
  if (!multiple) control.append(h("option", { value: "", disabled: true, selected: true, hidden: true }, element.placeholder?.text ?? "Choose an option"));
  control.append(...options(whole).flat());
  if (multiple) {
    for (const option of control.options) option.selected = (value ?? []).includes(option.value);
    control.size = Math.min(6, control.options.length);
  } else {
    control.value = value ?? "";
  }
  return control;
}

function external(element, block, surface) {
  const list = h("datalist", { id: `options-${Math.random().toString(36).slice(2)}` });
  let known = [];
  const control = h("input", {
    class: "select", list: list.id, placeholder: element.placeholder?.text ?? "Type to search",
    oninput: async () => {
      const picked = known.find((option) => option.text.text === control.value);
      if (picked) { choose(surface, block, element, picked, control); return; }
      if (control.value.length < (element.min_query_length ?? 3)) return;
      const answer = await send("/sandbox/options", { user: state.user, ...place(surface), block_id: block.block_id, action_id: element.action_id, value: control.value });
      known = answer.options ?? [];
      list.replaceChildren(...known.map((option) => h("option", { value: option.text.text })));
    },
  });
  return h("span", {}, control, list);
}

function overflow(element, block, surface) {
  const holder = h("span", { class: "menu-holder" });
  const control = h("button", { class: "icon-button", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": "More actions",
    data: { action: element.action_id, block: block.block_id } }, icon("more"));
  const close = () => {
    holder.querySelector(".menu")?.remove();
    control.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
  };
  const outside = (event) => { if (!holder.contains(event.target)) close(); };
  control.addEventListener("click", () => {
    if (holder.querySelector(".menu")) { close(); return; }
    const up = control.getBoundingClientRect().bottom > window.innerHeight - 220;
    const menu = h("div", { class: `menu ${up ? "up" : ""}`, role: "menu" }, element.options.map((option) => h("button", {
      type: "button", role: "menuitem",
      onclick: () => { close(); act(surface, block, element, option.value, control); },
    }, textObject(option.text))));
    menu.addEventListener("keydown", (event) => {
      const items = [...menu.children];
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus(); }
      if (event.key === "Escape") { event.stopPropagation(); close(); control.focus(); }
    });
    holder.append(menu);
    control.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside);
    menu.firstElementChild.focus();
  });
  holder.append(control);
  return holder;
}

function choices(element, block, surface) {
  const single = element.type === "radio_buttons";
  const first = single ? element.initial_option?.value : element.initial_options?.map((option) => option.value);
  const value = remembered(surface, block, element, first);
  const name = `${keyOf(block, element)}-${Math.random().toString(36).slice(2)}`;
  const box = h("div", { class: "choices", role: single ? "radiogroup" : "group" }, element.options.map((option) => h("label", { class: "choice" },
    h("input", {
      type: single ? "radio" : "checkbox", name, value: option.value,
      checked: single ? value === option.value : (value ?? []).includes(option.value),
      onchange: () => {
        const on = [...box.querySelectorAll("input:checked")].map((input) => input.value);
        choose(surface, block, element, single ? on[0] : on, null);
      },
    }),
    h("span", {}, textObject(option.text), option.description ? h("span", { class: "described" }, textObject(option.description)) : null))));
  return box;
}

const INPUTS = {
  datepicker: ["date", "initial_date"], timepicker: ["time", "initial_time"], datetimepicker: ["datetime-local", "initial_date_time"],
  plain_text_input: ["text", "initial_value"], number_input: ["number", "initial_value"],
  email_text_input: ["email", "initial_value"], url_text_input: ["url", "initial_value"], rich_text_input: ["text", null],
};

const localMoment = (seconds) => {
  const moment = new Date(seconds * 1000);
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

function typed(element, block, surface) {
  const [type, initial] = INPUTS[element.type];
  const moment = type === "datetime-local";
  const long = element.multiline || element.type === "rich_text_input";
  let value = remembered(surface, block, element, initial ? element[initial] : undefined);
  if (moment && value) value = localMoment(Number(value));
  if (typeof value === "object" && value) value = value.plain ?? "";
  const told = () => {
    let given = control.value;
    if (moment && given) given = Math.floor(new Date(given).getTime() / 1000);
    if (element.type === "rich_text_input") given = asRichText(given);
    return given;
  };
  const picker = ["datepicker", "timepicker", "datetimepicker"].includes(element.type);
  const control = h(long ? "textarea" : "input", {
    class: "field", type: long ? undefined : type, placeholder: element.placeholder?.text, value,
    min: element.min_value, max: element.max_value, step: element.is_decimal_allowed ? "any" : undefined,
    maxlength: element.max_length, "aria-label": element.placeholder?.text,
    data: { action: element.action_id, block: block.block_id },
    oninput: () => { if (!picker) valuesOf(surface)[keyOf(block, element)] = told(); },
    onchange: () => { if (picker) choose(surface, block, element, told(), control); },
    onkeydown: (event) => {
      if (event.key === "Enter" && block.dispatch_action && !long) { event.preventDefault(); act(surface, block, element, told(), control); }
    },
  });
  return control;
}

const asRichText = (text) => ({
  type: "rich_text", plain: text, elements: [{ type: "rich_text_section", elements: [{ type: "text", text }] }],
});

export function interactive(element, block, surface) {
  if (element.type === "button") return button(element, block, surface);
  if (element.type === "overflow") return overflow(element, block, surface);
  if (element.type === "radio_buttons" || element.type === "checkboxes") return choices(element, block, surface);
  if (element.type.includes("external_select")) return external(element, block, surface);
  if (element.type.endsWith("_select")) return select(element, block, surface);
  if (element.type in INPUTS) return typed(element, block, surface);
  return h("span", { class: "unknown" }, `${element.type} cannot be used here`);
}

