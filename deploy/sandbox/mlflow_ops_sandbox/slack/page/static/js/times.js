// Moments as people read them. A ts is "seconds.micros" since 1970.

const LOCALE = "en-GB";
const format = (options) => new Intl.DateTimeFormat(LOCALE, options);
const CLOCK = format({ hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const EXACT = format({ weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE = format({ day: "numeric", month: "long", year: "numeric" });
const DATE_SHORT = format({ day: "numeric", month: "short", year: "numeric" });
const DATE_LONG = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const DAY = format({ weekday: "long", day: "numeric", month: "long" });

export const date = (ts) => new Date(Number(ts) * 1000);
export const clock = (ts) => CLOCK.format(date(ts));
export const exact = (ts) => `${EXACT.format(date(ts))} (${ago(ts)})`;
export const dayKey = (ts) => date(ts).toDateString();

export function day(ts) {
  return nearDay(date(ts)) ?? DAY.format(date(ts));
}

function nearDay(when) {
  const today = new Date();
  const days = Math.round((new Date(today.toDateString()) - new Date(when.toDateString())) / 86_400_000);
  return { 0: "Today", 1: "Yesterday", [-1]: "Tomorrow" }[days];
}

export function ago(ts) {
  const seconds = Date.now() / 1000 - Number(ts);
  const [ahead, gap] = [seconds < -30, Math.abs(seconds)];
  const said = (count, unit) => {
    const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
    return ahead ? `in ${words}` : `${words} ago`;
  };
  if (gap < 45) return "just now";
  if (gap < 3570) return said(Math.max(1, Math.round(gap / 60)), "minute");
  if (gap < 86_400) return said(Math.round(gap / 3600), "hour");
  return said(Math.round(gap / 86_400), "day");
}

// <!date^seconds^{date_short} at {time}|fallback>
export function dated(seconds, pattern, fallback) {
  const when = new Date(Number(seconds) * 1000);
  if (Number.isNaN(when.getTime())) return fallback;
  const pretty = (formatter) => nearDay(when) ?? formatter.format(when);
  const parts = {
    date_num: () => when.toISOString().slice(0, 10),
    date: () => DATE.format(when), date_slash: () => when.toLocaleDateString(LOCALE),
    date_short: () => DATE_SHORT.format(when), date_long: () => DATE_LONG.format(when),
    date_pretty: () => pretty(DATE), date_short_pretty: () => pretty(DATE_SHORT), date_long_pretty: () => pretty(DATE_LONG),
    day_divider_pretty: () => pretty(DAY), time: () => CLOCK.format(when), time_secs: () => CLOCK_SECONDS.format(when), ago: () => ago(seconds),
  };
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => parts[name]?.() ?? whole);
}
