const body = document.querySelector("tbody");
const rows = [...body.rows];
const heads = [...document.querySelectorAll("th button")];
const filter = document.getElementById("filter");
const status = document.getElementById("status");
const count = document.getElementById("count");
const words = new Map(
  rows.map((row) => {
    const problems = [...row.querySelectorAll(".problem")].map((problem) => problem.textContent);
    return [row, [row.dataset.prompt, row.dataset.path, ...problems].join("\n").toLowerCase()];
  }),
);

// rows without a value come last in both directions
function sortBy(button) {
  const { key, kind } = button.dataset;
  const head = button.closest("th");
  const first = kind === "number" && key !== "order" ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const way = head.getAttribute("aria-sort") === first ? other : first;
  for (const each of heads) each.closest("th").removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  const sign = way === "ascending" ? 1 : -1;
  const text = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const compare = kind === "number" ? (a, b) => Number(a) - Number(b) : text.compare;
  rows.sort((one, two) => {
    const [a, b] = [one.dataset[key] ?? "", two.dataset[key] ?? ""];
    if (a === "" || b === "") return (a === "") - (b === "") || one.dataset.order - two.dataset.order;
    return sign * compare(a, b) || one.dataset.order - two.dataset.order;
  });
  body.append(...rows);
}

function show() {
  const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const fits = status.value === "all" || row.classList.contains(status.value);
    row.hidden = !fits || !wanted.every((word) => words.get(row).includes(word));
    shown += !row.hidden;
  }
  const all = `${rows.length.toLocaleString("en")} video${rows.length === 1 ? "" : "s"}`;
  count.textContent = shown === rows.length ? all : `${shown.toLocaleString("en")} of ${all}`;
  document.getElementById("empty").hidden = shown > 0;
}

for (const button of heads) button.addEventListener("click", () => sortBy(button));
filter.addEventListener("input", show);
status.addEventListener("change", show);
show(); // a reloaded page may keep what was typed
