// data_visualization: line, area, bar and pie, as SVG in the page's colours, so that both themes are readable.
import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, LEFT, BOTTOM, TOP] = [560, 220, 52, 34, 10];

function s(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const short = (value) => new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 }).format(value);

// Round steps that take in all values; bars and areas begin at nothing.
function scale(values, fromZero) {
  let [least, most] = [Math.min(...values), Math.max(...values)];
  if (fromZero || (least >= 0 && least < most * 0.6)) least = Math.min(0, least);
  if (fromZero) most = Math.max(0, most);
  if (least === most) { least -= Math.abs(least) * 0.1 || 1; most += Math.abs(most) * 0.1 || 1; }
  const raw = (most - least) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((each) => each * power >= raw) * power;
  const [low, high] = [Math.floor(least / step) * step, Math.ceil(most / step) * step];
  const ticks = [];
  for (let at = low; at <= high + step / 2; at += step) ticks.push(Math.abs(at) < step / 1e6 ? 0 : at);
  return { low, high, ticks, y: (value) => TOP + (HIGH - TOP - BOTTOM) * (1 - (value - low) / (high - low)) };
}

function axes(chart, { ticks, y }, x) {
  const { categories } = chart.axis_config;
  const every = Math.ceil(categories.length / 7);
  return [
    ...ticks.flatMap((tick) => [
      s("line", { class: "grid", x1: LEFT, x2: WIDE - 8, y1: y(tick), y2: y(tick) }),
      s("text", { class: "tick", x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick))]),
    ...categories.flatMap((name, index) => (index % every ? [] : [
      s("text", { class: "tick", x: x(index), y: HIGH - BOTTOM + 16, "text-anchor": "middle" }, name)])),
  ];
}

const told = (series, point) => s("title", {}, `${series.name}, ${point.label}: ${point.value.toLocaleString("en-US")}`);

function lines(chart, area) {
  const count = chart.axis_config.categories.length;
  const values = chart.series.flatMap((series) => series.data.map((point) => point.value));
  const down = scale(values, area);
  const x = (index) => (count === 1 ? (LEFT + WIDE) / 2 : LEFT + 12 + ((WIDE - LEFT - 32) * index) / (count - 1));
  const drawn = chart.series.flatMap((series, number) => {
    const points = series.data.map((point, index) => `${x(index)},${down.y(point.value)}`).join(" ");
    const floor = down.y(Math.max(down.low, 0));
    return [
      area ? s("polygon", { class: `fill c${number}`, points: `${x(0)},${floor} ${points} ${x(count - 1)},${floor}` }) : "",
      s("polyline", { class: `stroke c${number}`, points }),
      ...series.data.map((point, index) => s("circle", { class: `dot c${number}`, cx: x(index), cy: down.y(point.value), r: 3 }, told(series, point))),
    ];
  });
  return [...axes(chart, down, x), ...drawn];
}

function bars(chart) {
  const count = chart.axis_config.categories.length;
  const down = scale(chart.series.flatMap((series) => series.data.map((point) => point.value)), true);
  const slot = (WIDE - LEFT - 8) / count;
  const width = Math.min(38, (slot * 0.8) / chart.series.length);
  const x = (index) => LEFT + slot * (index + 0.5);
  const drawn = chart.series.flatMap((series, number) => series.data.map((point, index) => {
    const [top, floor] = [down.y(point.value), down.y(0)];
    const left = x(index) + (number - chart.series.length / 2) * width;
    return s("rect", { class: `fill solid c${number}`, x: left, y: Math.min(top, floor), width: Math.max(1, width - 2), height: Math.max(1, Math.abs(floor - top)), rx: 2 }, told(series, point));
  }));
  return [...axes(chart, down, x), ...drawn];
}

function pie(chart) {
  const whole = chart.segments.reduce((sum, each) => sum + each.value, 0);
  let turned = -Math.PI / 2;
  return chart.segments.map((each, number) => {
    const begin = turned;
    turned += (each.value / whole) * 2 * Math.PI;
    const title = s("title", {}, `${each.label}: ${each.value.toLocaleString("en-US")}`);
    if (chart.segments.length === 1) return s("circle", { class: "fill solid c0", cx: 110, cy: 110, r: 95 }, title);
    const at = (angle) => `${110 + 95 * Math.cos(angle)},${110 + 95 * Math.sin(angle)}`;
    const large = turned - begin > Math.PI ? 1 : 0;
    return s("path", { class: `fill solid c${number}`, d: `M110,110 L${at(begin)} A95,95 0 ${large} 1 ${at(turned)} Z` }, title);
  });
}

function spoken(chart) {
  if (chart.type === "pie") return chart.segments.map((each) => `${each.label} ${short(each.value)}`).join(", ");
  return chart.series.map((series) => `${series.name}: ${series.data.map((point) => `${point.label} ${short(point.value)}`).join(", ")}`).join("; ");
}

export function dataVisualization(block) {
  const { chart, title } = block;
  const drawn = chart.type === "pie" ? pie(chart) : chart.type === "bar" ? bars(chart) : lines(chart, chart.type === "area");
  const whole = chart.type === "pie" ? chart.segments.reduce((sum, each) => sum + each.value, 0) : 0;
  const names = chart.type === "pie" ? chart.segments.map((each) => `${each.label} · ${Math.round((100 * each.value) / whole)} %`) : chart.series.map((each) => each.name);
  const config = chart.axis_config ?? {};
  return h("figure", { class: `chart ${chart.type}` },
    h("figcaption", {}, title),
    config.y_label ? h("div", { class: "axis" }, config.y_label) : null,
    h("div", { class: "chart-body" },
      s("svg", { viewBox: chart.type === "pie" ? "0 0 220 220" : `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title}. ${spoken(chart)}` }, ...drawn),
      names.length > 1 || chart.type === "pie" ? h("ul", { class: "legend" }, names.map((name, number) => h("li", {}, h("span", { class: `swatch c${number}`, "aria-hidden": "true" }), name))) : null),
    config.x_label ? h("div", { class: "axis below" }, config.x_label) : null);
}
