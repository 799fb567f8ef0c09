"use strict";
// Sort a table by a column when its heading is pressed; cells without a figure stay last.
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const row = heading.parentElement;
    const body = heading.closest("table").tBodies[0];
    const column = Array.prototype.indexOf.call(row.cells, heading);
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of row.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (line) => line.cells[column].dataset.value;
    const rows = Array.from(body.rows).sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const difference = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -difference : difference;
    });
    body.append(...rows);
  });
}
// Paper has no folds.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
