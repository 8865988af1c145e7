const theme = document.getElementById("theme");
const themes = ["system", "light", "dark"];
theme.hidden = false;
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % 3];
  document.documentElement.dataset.theme = next;
  theme.textContent = `Theme: ${next}`;
});
