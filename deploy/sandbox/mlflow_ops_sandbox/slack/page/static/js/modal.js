// The modal that the app opened: its inputs, what is wrong with them, submit and close.
import { send } from "./api.js";
import { avatar } from "./avatar.js";
import { blocks } from "./blocks.js";
import { h, icon } from "./dom.js";
import { textObject } from "./mrkdwn.js";
import { state, valuesOf } from "./state.js";

let box = null;
let current = null;

export function showModal(view) {
  const same = view && current && view.id === current.id;
  current = view;
  if (!view) {
    box?.close();
    box?.remove();
    box = null;
    return;
  }
  const scrolled = same ? box.querySelector(".dialog-body").scrollTop : 0;
  if (!box) {
    box = h("dialog", { id: "modal", "aria-labelledby": "modal-title" });
    box.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
    document.body.append(box);
  }
  const surface = { view_id: view.id, submits: true };
  const form = h("form", { onsubmit: (event) => { event.preventDefault(); submit(view); }, novalidate: true, class: "dialog-body", id: "modal-form" }, blocks(view.blocks, surface));
  box.replaceChildren(
    h("div", { class: "dialog-head" }, avatar(view.bot_id), h("h2", { id: "modal-title" }, textObject(view.title)),
      h("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: close }, icon("close"))),
    form,
    h("div", { class: "dialog-foot" },
      h("button", { class: "button", type: "button", onclick: close }, view.close ? textObject(view.close) : "Close"),
      view.submit ? h("button", { class: "button primary", type: "submit", form: "modal-form", disabled: view.submit_disabled }, textObject(view.submit)) : null));
  if (!box.open) box.showModal();
  form.scrollTop = scrolled;
  if (!same) form.querySelector("input, textarea, select, button")?.focus();
}

async function submit(view) {
  const button = box.querySelector("button[type=submit]");
  if (!button || button.classList.contains("busy")) return;
  button.classList.add("busy");
  box.querySelectorAll(".wrong, .dialog-foot .failed").forEach((old) => old.remove());
  box.querySelectorAll(".is-wrong").forEach((old) => old.classList.remove("is-wrong"));
  const answer = await send("/sandbox/view/submit", { user: state.user, view_id: view.id, values: valuesOf({ view_id: view.id }) });
  button.classList.remove("busy");
  if (answer.ok || !box) return;
  const errors = Object.entries(answer.errors ?? {});
  for (const [block, sentence] of errors) {
    const field = box.querySelector(`.block-input[data-block="${CSS.escape(block)}"]`);
    field?.classList.add("is-wrong");
    field?.append(h("div", { class: "wrong", role: "alert" }, sentence));
  }
  if (errors.length) box.querySelector(".is-wrong input, .is-wrong textarea, .is-wrong select")?.focus();
  else box.querySelector(".dialog-foot").prepend(h("span", { class: "failed", role: "alert" }, `We had some trouble connecting. Try again? (${answer.error})`));
}

function close() {
  return send("/sandbox/view/close", { user: state.user });
}
