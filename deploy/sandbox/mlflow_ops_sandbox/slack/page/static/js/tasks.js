// A plan and its tasks, each with its state, what it is about and what came of it.
import { h } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { richText } from "./richtext.js";

const STATES = { pending: "Pending", in_progress: "In progress", complete: "Complete", error: "Failed" };
const SIGNS = { pending: "", in_progress: "", complete: "✓", error: "!" };

export function taskCard(task) {
  return h("div", { class: `task ${task.status}`, role: "listitem", data: { task: task.task_id, status: task.status } },
    h("span", { class: "task-sign", role: "img", "aria-label": STATES[task.status] }, SIGNS[task.status]),
    h("div", { class: "task-text" },
      h("div", { class: "task-title" }, withEmoji(task.title)),
      task.details ? h("div", { class: "task-details" }, richText(task.details)) : null,
      task.output ? h("div", { class: "task-output" }, richText(task.output)) : null));
}

export function plan(block) {
  const tasks = block.tasks ?? [];
  const done = tasks.filter((task) => task.status === "complete").length;
  return h("div", { class: "plan" },
    h("div", { class: "plan-head" }, h("span", { class: "plan-title" }, withEmoji(block.title)),
      tasks.some((task) => task.status !== "pending") ? h("span", { class: "plan-count" }, `${done} of ${tasks.length}`) : null),
    h("div", { class: "tasks", role: "list" }, tasks.map(taskCard)));
}
