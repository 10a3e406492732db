// Five things to try: what a first visit shows beside the channel, until it is put away; Alt+T brings it back.
import { read } from "/page/js/api.js";
import { h, icon } from "/page/js/dom.js";

const KEY = "tour";
const TRIED = "tour-tried";

// Typing is left to the person: a button puts the command into the composer, and Enter sends it.
const STEPS = [
  { id: "health", title: "Ask whether MLflow is well", types: "/mlflow health",
    look: "The first line is the answer. Its thread has every check in one table that sorts and filters." },
  { id: "break", title: "Break a pod, then ask for health", breaks: "crash", types: "/mlflow health",
    look: "The first line names the broken pod and what to type next. Then switch it back." },
  { id: "restore", title: "Back up, lose a table, restore it", first: "/mlflow backup all", breaks: "table", types: "/mlflow restore database latest",
    look: "A second person must approve: become one with Alt and their number. Each planned step turns into a done one, and “Undo” goes back." },
  { id: "bad-image", title: "Roll out an image that nobody has", types: "/mlflow update v0.0.0",
    look: "It's refused before a pod is touched, with the registry's own words and what to check." },
  { id: "compare", title: "Compare an experiment's runs", types: "/mlflow runs compare load-forecast-eu",
    look: "What differs between the runs as a table, their curves as a chart, and all of it as a file in the thread." },
];

// Only where the whole sandbox is there: a Slack alone has nothing to ask or to lose.
export async function mount(element, { first }) {
  const { groups } = await read("/sandbox/panel");
  if (groups.some((group) => group.id === "damage")) new Tour(element, first);
}

class Tour {
  constructor(element, first) {
    this.tried = new Set(JSON.parse(localStorage.getItem(TRIED) ?? "[]"));
    this.list = h("ol", { class: "tour-steps" });
    this.count = h("p", { class: "tour-count", role: "status" });
    this.card = h("section", { class: "tour", id: "tour", "aria-labelledby": "tour-title", hidden: true },
      h("header", { class: "tour-head" }, h("h2", { id: "tour-title", tabindex: "-1" }, "Five things to try"),
        h("button", { class: "icon-button", type: "button", "aria-label": "Put the tour away", title: "Put it away (Esc); Alt+T brings it back", onclick: () => this.show(false) }, icon("close"))),
      this.count, this.list);
    this.card.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.show(false);
    });
    addEventListener("keydown", (event) => {
      if (event.altKey && event.key.toLowerCase() === "t") { event.preventDefault(); this.show(this.card.hidden); }
    });
    element.append(this.card);
    this.draw();
    if (first) this.show(true);
  }

  show(open) {
    this.card.hidden = !open;
    localStorage.setItem(KEY, "seen");
    if (open) this.card.querySelector("#tour-title").focus();
    else document.getElementById("composer")?.focus();
  }

  draw() {
    this.count.textContent = `${this.tried.size} of ${STEPS.length} tried. Tab moves, Enter chooses, Alt+T shows and hides this.`;
    this.list.replaceChildren(...STEPS.map((step) => h("li", { class: this.tried.has(step.id) ? "tried" : "", data: { step: step.id } },
      h("h3", {}, step.title, this.tried.has(step.id) ? h("span", { class: "tour-tick", "aria-label": ", tried" }, " ✓") : null),
      h("p", {}, step.look),
      h("div", { class: "tour-acts" },
        step.first ? this.button(step, step.first) : null,
        step.breaks ? h("button", { class: "button", type: "button", onclick: () => this.panel(step) }, "Break it…") : null,
        this.button(step, step.types)))));
  }

  button(step, words) {
    return h("button", { class: "button tour-type", type: "button", title: "Put it into the composer; Enter sends it", onclick: () => this.type(step, words) }, words);
  }

  type(step, words) {
    this.mark(step);
    const composer = document.getElementById("composer");
    if (!composer) return;
    composer.value = words;
    composer.dispatchEvent(new Event("input", { bubbles: true }));
    composer.focus();
  }

  panel(step) {
    this.mark(step);
    if (document.getElementById("panel-drawer").hidden) document.getElementById("panel-rail").click();
    const found = () => document.querySelector(`[data-thing="${step.breaks}"]`);
    const focus = (tries) => {
      const thing = found();
      if (!thing) { if (tries) setTimeout(() => focus(tries - 1), 100); return; }
      (thing.matches("button") ? thing : thing.querySelector("button"))?.focus();
    };
    focus(50);
  }

  mark(step) {
    this.tried.add(step.id);
    localStorage.setItem(TRIED, JSON.stringify([...this.tried]));
    this.draw();
  }
}
