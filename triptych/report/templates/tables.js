"use strict";
// Sortable tables: each heading becomes a button; aria-sort has the current order.
(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(raw);
    return raw !== "" && Number.isFinite(number) ? number : raw;
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  const sortBy = (table, column, button) => {
    const heading = button.parentElement;
    const numbers = heading.classList.contains("number");
    const now = heading.getAttribute("aria-sort");
    const descending = now ? now === "ascending" : numbers; // numbers sort descending first
    for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
    for (const [, row] of rows) row.classList.remove("first");
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => sortBy(table, column, button));
    });
  }
})();
