// Figures as SVG, PNG and CSV, tables as CSV, Markdown and LaTeX: what is shown, as it is shown, made in the page.
(() => {
  const download = (name, href) => {
    const link = document.createElement("a");
    link.download = name;
    link.href = href;
    link.click();
  };
  const downloadText = (name, text, type) => {
    const href = URL.createObjectURL(new Blob([text], {type: `${type};charset=utf-8`}));
    download(name, href);
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  };
  const fileName = title => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 80) || "animefer";

  // A true minus is for readers; programs want the other one.
  const csvCell = cell => {
    const text = String(cell ?? "").replace(/−(?=\d)/g, "-");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = lines => lines.map(line => line.map(csvCell).join(",") + "\r\n").join("");

  const markdown = ([head, ...body]) => {
    const line = cells => `| ${cells.join(" | ")} |\n`;
    const plain = cells => line(cells.map(cell => escaped(cell, MARKDOWN)));
    return plain(head) + line(head.map((_, column) => column ? "---:" : ":---")) + body.map(plain).join("");
  };

  // Letter -> what LaTeX, or Markdown, prints as that letter: the same as in the files of tables/.
  const letters = id => JSON.parse(document.getElementById(id).textContent);
  const LATEX = letters("latex-letters"), MARKDOWN = letters("markdown-letters");
  const escaped = (text, letters) => [...text.replace(/\s*\n\s*/g, " ")].map(letter => letters[letter] ?? letter).join("");

  const latex = ([head, ...body]) => {
    const line = cells => cells.map(cell => escaped(cell, LATEX)).join(" & ") + " \\\\\n";
    return `% \\usepackage{booktabs}\n\\begin{tabular}{l${"r".repeat(head.length - 1)}}\n\\toprule\n${line(head)}\\midrule\n`
      + `${body.map(line).join("")}\\bottomrule\n\\end{tabular}\n`;
  };

  // The rows that are seen, in their order. What stands small beneath a number has a column of its own.
  const textOf = (cell, small) => {
    const copy = cell.cloneNode(true);
    const beneath = [...copy.querySelectorAll("small")].map(part => { part.remove(); return part.textContent.trim(); });
    copy.querySelectorAll("details, pre").forEach(part => part.remove());
    copy.querySelectorAll("br").forEach(part => part.replaceWith(" "));
    return small ? beneath.join(" ") : copy.textContent.trim();
  };
  const linesOf = table => {
    const seen = row => [...row.cells].filter(cell => !cell.hidden);
    const heads = seen(table.tHead.rows[0]);
    const rows = [...table.tBodies[0].rows].filter(row => !row.hidden && !row.classList.contains("trials"));
    const twofold = heads.map((_, column) => rows.some(row => seen(row)[column]?.querySelector("small")));
    const head = heads.flatMap((cell, column) => {
      const title = textOf(cell), small = textOf(cell, true);
      return twofold[column] ? [title, `${title}, ${small || "total interval"}`] : [small ? `${title} (${small})` : title];
    });
    return [head, ...rows.map(row => seen(row).flatMap((cell, column) =>
      twofold[column] ? [textOf(cell), textOf(cell, true)] : [textOf(cell)]))];
  };

  const unescaped = text => String(text ?? "").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  const cellsOf = (trace, figure) => trace.z.flatMap((row, y) => row.map((value, x) => (
    {row: figure.rows[y]?.name ?? y, column: figure.columns[x]?.name ?? x, [trace.meta?.value ?? "value"]: value,
     ...(trace.meta?.text && {[trace.meta.text]: trace.text[y][x]})})));

  const pointsOf = (trace, figure) => trace.x.map((x, point) => {
    const y = trace.y[point], whisker = (bars, end) => bars?.[end]?.[point] ?? bars?.array?.[point];
    return {
      series: trace.meta?.strategy ?? unescaped(trace.name), what: trace.meta?.what,
      model: trace.customdata?.[point]?.[0], strategy: trace.customdata?.[point]?.[1],
      row: figure.rows[Math.round(y)]?.name, column: figure.columns[Math.round(x)]?.name,
      x: figure.columns.length ? undefined : x, "x minus": whisker(trace.error_x, "arrayminus"), "x plus": whisker(trace.error_x, "array"),
      y: figure.rows.length ? undefined : y, "y minus": whisker(trace.error_y, "arrayminus"), "y plus": whisker(trace.error_y, "array"),
      low: trace.meta?.low?.[point], high: trace.meta?.high?.[point], n: trace.meta?.n?.[point],
      trial: trace.meta?.what === "trial" ? trace.text[point] : undefined,
    };
  }).filter(({x, y, row, column}) => [x, y, row, column].some(value => value !== undefined && value !== null));

  // An axis of quantities is named by its title; columns of which nothing is known are left out.
  const dataOf = figure => {
    // Bands and marks of a moment are no numbers of their own.
    const points = figure.data.filter(trace => !trace.meta?.aside).flatMap(trace => (trace.z ? cellsOf : pointsOf)(trace, figure));
    const names = [...new Set(points.flatMap(Object.keys))].filter(name => points.some(point => point[name] !== undefined && point[name] !== ""));
    const titles = {x: figure.layout.xaxis?.title?.text, y: figure.layout.yaxis?.title?.text};
    return [names.map(name => unescaped(titles[name] ?? name)), ...points.map(point => names.map(name => point[name]))];
  };

  const menu = (title, entries) => {
    const details = document.createElement("details"), summary = document.createElement("summary"), list = document.createElement("div");
    details.className = "save";
    summary.textContent = "Save";
    summary.setAttribute("aria-label", `Save ${title}`);
    for (const [kind, act] of Object.entries(entries)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.setAttribute("aria-label", `${kind}: ${title}`);
      button.addEventListener("click", () => { details.open = false; summary.focus(); act(); });
      list.append(button);
    }
    details.append(summary, list);
    details.addEventListener("keydown", event => {
      if (event.key === "Escape" && details.open) { details.open = false; summary.focus(); }
    });
    details.addEventListener("focusout", event => { if (event.relatedTarget && !details.contains(event.relatedTarget)) details.open = false; });
    return details;
  };

  // The numbers behind a figure as a table beneath it, for who does not see the figure or wants to read them.
  const tableOf = (title, [head, ...body]) => {
    const region = document.createElement("div"), table = document.createElement("table");
    region.className = "scroll behind";
    region.tabIndex = 0;
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", `Numbers behind ${title}`);
    const heads = table.createTHead().insertRow();
    for (const name of head) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      heads.append(cell);
    }
    const rows = table.createTBody();
    for (const line of body) {
      const row = rows.insertRow();
      for (const value of line) row.insertCell().textContent = value ?? "";
    }
    region.append(table);
    return region;
  };

  const forgetTables = () => document.querySelectorAll(".behind").forEach(each => each.remove());
  for (const kind of ["change", "reset"]) document.getElementById("filter")?.addEventListener(kind, forgetTables);

  for (const plot of document.querySelectorAll(".plot")) {
    const element = plot.closest("figure"), title = element.querySelector("figcaption").textContent, name = fileName(title);
    const image = async format => {
      const figure = report.shown(report.read(plot)), size = {width: plot.clientWidth, height: plot.clientHeight};
      const layout = {...report.printed(figure), ...size, paper_bgcolor: "#ffffff"};
      download(`${name}.${format}`, await Plotly.toImage({data: figure.data, layout, config: report.quiet}, {format, ...size, scale: format === "png" ? 2 : 1}));
    };
    const behind = () => {
      const there = element.querySelector(".behind");
      if (there) { there.remove(); return; }
      const table = tableOf(title, dataOf(report.shown(report.read(plot))));
      element.append(table);
      table.focus();
    };
    element.prepend(menu(title, {
      Table: behind, SVG: () => image("svg"), PNG: () => image("png"),
      CSV: () => downloadText(`${name}.csv`, csv(dataOf(report.shown(report.read(plot)))), "text/csv"),
    }));
  }

  for (const table of document.querySelectorAll(".scroll > table")) {
    const title = table.parentElement.getAttribute("aria-label"), name = fileName(title);
    table.parentElement.before(menu(title, {
      CSV: () => downloadText(`${name}.csv`, csv(linesOf(table)), "text/csv"),
      Markdown: () => downloadText(`${name}.md`, markdown(linesOf(table)), "text/markdown"),
      LaTeX: () => downloadText(`${name}.tex`, latex(linesOf(table)), "text/x-tex"),
    }));
  }

  document.addEventListener("click", event => {
    for (const details of document.querySelectorAll("details.save[open]")) if (!details.contains(event.target)) details.open = false;
  });
})();
