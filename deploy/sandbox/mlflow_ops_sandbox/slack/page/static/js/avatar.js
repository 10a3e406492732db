// Faces: initials on a colour for people, the icon for the app.
import { h } from "./dom.js";
import { person, state } from "./state.js";

export function avatar(userId, size = "") {
  const { bot } = state.workspace;
  if (userId === bot.user_id || userId === bot.bot_id) {
    return h("span", { class: `avatar ${size}`, "aria-hidden": "true" }, h("img", { src: "/page/icon.svg", alt: "" }));
  }
  const known = person(userId);
  const name = known?.real_name ?? "Slackbot";
  const initials = name.split(/\s+/).map((word) => word[0]).slice(0, 2).join("").toUpperCase();
  const face = h("span", { class: `avatar ${size}`, "aria-hidden": "true" }, known ? initials : "S");
  face.style.background = known?.color ?? "#5b6470";
  return face;
}
