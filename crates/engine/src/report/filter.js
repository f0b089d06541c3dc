for (const table of document.querySelectorAll(".cases table")) {
  const plain = (text) => text.toLowerCase().replace(/\s+/g, "");
  const names = [...table.tHead.rows[0].cells].map((head) => {
    const copy = head.cloneNode(true);
    copy.querySelectorAll("small").forEach((hint) => hint.remove());
    return plain(copy.textContent);
  });
  // A name in full, or without what stands before it, as `dice` for the mean Dice.
  const find = (name) => {
    const exact = names.indexOf(name);
    return exact > 0 ? exact : names.findIndex((known, column) => column > 0 && known.endsWith(name));
  };
  const compare = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
  };
  const bar = document.createElement("p");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const found = document.createElement("output");
  bar.className = "filter";
  input.type = "search";
  input.placeholder = "part of an id, or dice<0.8";
  label.append("Filter ", input);
  bar.append(label, " ", found);
  table.closest(".scroll").before(bar);
  input.addEventListener("input", () => {
    const unknown = [];
    const tests = input.value.trim().split(/\s+/).filter(Boolean).map((word) => {
      const [, name, sign, number] = word.match(/^([^<>=]+)(<=|>=|<|>|=)(-?\d*\.?\d+)$/) ?? [];
      if (sign === undefined) return (row) => plain(row.cells[0].textContent).includes(plain(word));
      const column = find(plain(name));
      if (column < 0) unknown.push(name);
      return (row) => {
        const value = row.cells[column]?.dataset.value;
        return value !== undefined && compare[sign](Number(value), Number(number));
      };
    });
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !tests.every((test) => test(row));
    const shown = rows.filter((row) => !row.hidden).length;
    found.textContent = unknown.length ? `no column ${unknown.join(", ")}` : tests.length ? `${shown} of ${rows.length} cases` : "";
  });
}
