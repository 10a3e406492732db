// The question before a button with a confirm dialog does anything.
import { h } from "./dom.js";
import { textObject } from "./mrkdwn.js";

// Resolves to true or false.
export function confirmed(dialog) {
  if (!dialog) return Promise.resolve(true);
  return new Promise((resolve) => {
    const box = h("dialog", { class: "confirm", "aria-labelledby": "confirm-title" });
    const end = (answer) => { box.close(); box.remove(); resolve(answer); };
    const style = dialog.style === "danger" ? "danger solid" : "primary";
    box.append(
      h("div", { class: "dialog-head" }, h("h2", { id: "confirm-title" }, textObject(dialog.title) ?? "Are you sure?")),
      h("div", { class: "dialog-body text" }, textObject(dialog.text)),
      h("div", { class: "dialog-foot" },
        h("button", { class: "button", type: "button", onclick: () => end(false) }, dialog.deny ? textObject(dialog.deny) : "Cancel"),
        h("button", { class: `button ${style}`, type: "button", autofocus: true, onclick: () => end(true) }, dialog.confirm ? textObject(dialog.confirm) : "Yes")));
    box.addEventListener("cancel", (event) => { event.preventDefault(); end(false); });
    document.body.append(box);
    box.showModal();
  });
}
