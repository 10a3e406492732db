// Elements without innerHTML: whatever people or bots wrote becomes text nodes, never markup.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

// Line icons on a 20 by 20 grid.
const PATHS = {
  close: "M5 5l10 10M15 5L5 15",
  menu: "M3 5.500h14M3 10h14M3 14.500h14",
  reply: "M3 5.500A1.500 1.500 0 0 1 4.500 4h11A1.500 1.500 0 0 1 17 5.500v7a1.500 1.500 0 0 1-1.500 1.500H9l-4 3v-3h-.500A1.500 1.500 0 0 1 3 12.500z",
  smile: "M10 2.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15M6.800 11.500a3.600 3.600 0 0 0 6.400 0M7.400 7.800v.100M12.600 7.800v.100",
  pin: "M12.500 2.800l4.700 4.700-1.600.7-2.800 2.800-.3 3-2-2-4.700 4.700 4.700-4.700-4-4 3-.3 2.800-2.800z",
  eye: "M2 10c2-3.600 4.700-5.400 8-5.400s6 1.800 8 5.400c-2 3.600-4.700 5.400-8 5.400S4 13.600 2 10zM10 7.800a2.200 2.200 0 1 0 0 4.400 2.200 2.200 0 0 0 0-4.400",
  download: "M10 3v9M6 8.500l4 4 4-4M4 16.500h12",
  more: "M10 4.500v.100M10 10v.100M10 15.500v.100",
  send: "M3 10L17 4l-4 12-3.500-4.500zM9.500 11.500L17 4",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7M10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.300 4.300l1.100 1.100M14.600 14.600l1.100 1.100M15.700 4.300l-1.100 1.100M5.400 14.600l-1.100 1.100",
  moon: "M16.500 12.200A7 7 0 0 1 7.800 3.500a7 7 0 1 0 8.700 8.700z",
  trash: "M4 6h12M8 6V4h4v2M6 6l.700 10.500h6.600L14 6",
  people: "M7 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2.500 16c0-2.500 2-4.200 4.500-4.200s4.500 1.700 4.500 4.200M13 4.300a2.800 2.800 0 0 1 0 5.400M14.500 12c1.800.5 3 2 3 4",
  alert: "M10 3l7.500 13.500h-15zM10 8v4M10 14.500v.100",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  for (const [key, value] of [["fill", "none"], ["stroke", "currentColor"], ["stroke-width", "1.6"],
    ["stroke-linecap", "round"], ["stroke-linejoin", "round"]]) path.setAttribute(key, value);
  svg.append(path);
  return svg;
}

export function sprite(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "emoji");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const title = document.createElementNS(SVG, "title");
  title.textContent = label;
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/page/emoji.svg#${name}`);
  svg.append(title, use);
  return svg;
}

export function toast(text) {
  const note = h("div", { class: "toast" }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 4000);
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

export function clear(element) {
  element.replaceChildren();
  return element;
}
