// Tables: sorted by a click on a column's head, and rows that open.
(() => {
  const number = cell => parseFloat(cell.dataset.value ?? cell.textContent.replace("−", "-").replaceAll(",", ""));
  const isNumber = cell => "value" in cell.dataset || /^[−-]?\d[\d,]*(\.\d+)?(e-?\d+)?$/.test(cell.textContent.trim());
  const words = new Intl.Collator("en", {numeric: true});

  // What is no number comes after all that are, in either order.
  const isNumeric = (rows, column) =>
    rows.some(row => isNumber(row.cells[column])) && !rows[0].cells[column].classList.contains("wrap");

  const sorted = (rows, column, direction) => {
    const cells = new Map(rows.map(row => [row, row.cells[column]]));
    const numeric = isNumeric(rows, column);
    const by = (one, other) => {
      const [a, b] = [cells.get(one), cells.get(other)];
      if (!numeric) return direction * words.compare(a.textContent, b.textContent);
      if (isNumber(a) !== isNumber(b)) return isNumber(a) ? -1 : 1;
      return isNumber(a) ? direction * (number(a) - number(b)) : 0;
    };
    return [...rows].sort(by);
  };

  const makeSortable = table => {
    const body = table.tBodies[0], rows = [...body.rows].filter(row => !row.classList.contains("trials"));
    if (rows.length < 2) return;
    // Trials stand beneath their configuration wherever it goes, in the order in which they were planned.
    const beneath = new Map(rows.map(row => [row, row.nextElementSibling]).filter(([, next]) => next?.classList.contains("trials")));
    const heads = [...table.tHead.rows[0].cells];
    for (const [column, head] of heads.entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        // Numbers the greatest first, words from A; then the other way round; then as it was.
        const [first, second] = isNumeric(rows, column) ? ["descending", "ascending"] : ["ascending", "descending"];
        const now = {[first]: second, [second]: ""}[head.getAttribute("aria-sort")] ?? first;
        for (const each of heads) each.removeAttribute("aria-sort");
        if (now) head.setAttribute("aria-sort", now);
        const order = now ? sorted(rows, column, now === "ascending" ? 1 : -1) : rows;
        body.append(...order.flatMap(row => beneath.has(row) ? [row, beneath.get(row)] : [row]));
      });
    }
  };

  const makeOpen = trials => {
    const row = trials.previousElementSibling, head = row.cells[0], button = document.createElement("button");
    button.type = "button";
    button.className = "open";
    button.setAttribute("aria-controls", trials.id);
    button.append(...head.childNodes);
    head.append(button);
    const open = wanted => {
      trials.hidden = !wanted;
      button.setAttribute("aria-expanded", wanted);
    };
    open(false);
    row.classList.add("opens");
    // A row may be clicked anywhere, unless words in it are being marked.
    row.addEventListener("click", event => {
      if (button.contains(event.target) || !String(getSelection())) open(trials.hidden);
    });
  };

  document.querySelectorAll(".scroll > table").forEach(makeSortable);
  document.querySelectorAll("tr.trials").forEach(makeOpen);
})();
