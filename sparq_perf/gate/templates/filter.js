"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const items = [...document.querySelectorAll("[data-words]")];
  const text = document.getElementById("filter-text");
  const facets = [...form.querySelectorAll("select[data-facet]")];
  const shown = document.getElementById("shown");
  const filter = () => {
    const terms = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    items.forEach((item) => {
      const fits = facets.every((f) => !f.value || item.dataset[f.dataset.facet] === f.value)
        && terms.every((term) => item.dataset.words.toLowerCase().includes(term));
      item.hidden = !fits;
      visible += fits;
    });
    shown.textContent = `${visible} of ${items.length}`;
    document.getElementById("none-left").hidden = visible > 0;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
})();
