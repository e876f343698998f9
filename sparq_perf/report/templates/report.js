"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const darkOf = new Map(Object.entries(page.dark));
  const darkScheme = matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true, showTips: false };
  const PRINTED_WIDTH_PX = 660; // the text width of an A4 or letter page
  let printing = false;

  // A copy of a figure, since plotly writes into what it is given, in the colours of the scheme.
  const copy = (value, dark) => {
    if (typeof value === "string") return dark ? darkOf.get(value) ?? value : value;
    if (Array.isArray(value)) return value.map((item) => copy(item, dark));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item, dark)]));
  };

  const draw = (box) => {
    const { figure, description } = page.figures[box.dataset.chart];
    const { data, layout } = copy(figure, darkScheme.matches && !printing);
    if (printing) layout.width = Math.min(box.clientWidth, PRINTED_WIDTH_PX);
    box.setAttribute("aria-label", description);
    box.style.minHeight = `${layout.height}px`;
    Plotly.react(box, data, layout, config);
  };
  const drawAll = () => document.querySelectorAll(".chart").forEach(draw);

  // A select rules one chart, where there is one of its name, and every part of the page that goes with it.
  const choose = (select) => {
    const box = document.getElementById(select.dataset.for);
    if (box) box.dataset.chart = select.value;
    document.querySelectorAll(`[data-with="${select.dataset.for}"]`).forEach((part) => {
      part.hidden = part.dataset.choice !== select.value;
    });
    return box;
  };
  document.querySelectorAll("select[data-for]").forEach((select) => {
    select.addEventListener("change", () => {
      const box = choose(select);
      if (box) draw(box);
    });
    // A browser may restore an earlier choice when the page is reloaded.
    choose(select);
  });
  // A select may lead others: each takes the choice of the same place.
  document.querySelectorAll("select[data-leads]").forEach((leader) => {
    const lead = (follow) => document.querySelectorAll(`select[data-follows="${leader.id}"]`).forEach((select) => {
      select.selectedIndex = leader.selectedIndex;
      follow(select);
    });
    leader.addEventListener("change", () => lead((select) => select.dispatchEvent(new Event("change"))));
    lead(choose);
  });
  drawAll();
  darkScheme.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });

  const table = document.getElementById("table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const words = new Map(rows.map((row) => [row, searchable(row)]));
  const form = document.getElementById("filters");
  const text = document.getElementById("filter-text");
  const facets = [...form.querySelectorAll("select[data-facet]")];
  const shown = document.getElementById("shown");

  // "r16" and "k128" find a row as well as the bare numbers do.
  function searchable(row) {
    const cells = [...row.cells].map((cell) => cell.textContent.replace(/\s+/g, " ").trim());
    return `${cells.join(" ")} r${cells[5]} k${cells[6]} b${cells[3]}`.toLowerCase();
  }

  const filter = () => {
    const terms = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    rows.forEach((row) => {
      const fits = facets.every((f) => !f.value || row.dataset[f.dataset.facet] === f.value)
        && terms.every((term) => words.get(row).includes(term));
      row.hidden = !fits;
      visible += fits;
    });
    const all = `${rows.length} configuration${rows.length === 1 ? "" : "s"}`;
    shown.textContent = visible === rows.length ? all : `${visible} of ${all}`;
    document.getElementById("none-left").hidden = visible > 0;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();

  const sortBy = (heading) => {
    const column = heading.cellIndex;
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    const numeric = heading.classList.contains("num");
    const value = (row) => numeric ? row.cells[column].dataset.value : row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      // What was not measured stays at the end in either direction.
      if (numeric && (x === "" || y === "")) return (x === "") - (y === "");
      const order = numeric ? x - y : x.localeCompare(y);
      return ascending ? order : -order;
    };
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    body.append(...rows.sort(compare));
  };
  table.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => sortBy(button.parentElement)));
})();
