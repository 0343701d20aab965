// Before the first paint, hence not deferred: a page never flashes in the other theme.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("theme") || "system";
    } catch {
      return "system";
    }
  };
  const show = () => {
    const theme = chosen();
    const shown = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    document.documentElement.dataset.bsTheme = shown;
  };
  dark.addEventListener("change", show);
  window.addEventListener("storage", show);
  document.addEventListener("theme", show);
  show();
})();
