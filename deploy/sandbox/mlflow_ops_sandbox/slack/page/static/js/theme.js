// Light or dark: what the address asks for, else what was chosen here, else what the system prefers.

const KEY = "theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

export function startTheme() {
  const asked = new URLSearchParams(location.search).get("theme") ?? localStorage.getItem(KEY);
  if (asked === "light" || asked === "dark") document.documentElement.dataset.theme = asked;
}

export function currentTheme() {
  return document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light");
}

export function toggleTheme() {
  const theme = currentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(KEY, theme);
}
