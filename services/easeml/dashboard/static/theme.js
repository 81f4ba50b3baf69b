// Runs before the first paint, so that nobody who chose the dark scheme is dazzled.
(() => {
  const chosen = localStorage.getItem("easeml-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
