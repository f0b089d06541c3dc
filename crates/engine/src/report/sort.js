for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (!table.closest(".cases")) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value;
      const text = (row) => row.cells[column].textContent;
      const order = (a, b) => {
        if (column === 0) return text(a).localeCompare(text(b), undefined, { numeric: true }) * (up ? 1 : -1);
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return (x - y) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
