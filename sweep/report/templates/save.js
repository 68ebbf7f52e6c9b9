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
    const plain = cells => line(cells.map(cell => cell.replace(/[\\|<&*`[\]]/g, "\\$&").replace(/\s*\n\s*/g, " ")));
    return plain(head) + line(head.map((_, column) => column ? "---:" : ":---")) + body.map(plain).join("");
  };

  const LATEX = {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}",
                 "<": "\\textless{}", ">": "\\textgreater{}", "[": "{[}", "]": "{]}", "±": "$\\pm$", "×": "$\\times$",
                 "−": "$-$", "χ": "$\\chi$", "²": "$^2$"};
  const latex = ([head, ...body]) => {
    const line = cells => cells.map(cell =>
      cell.replace(/\s*\n\s*/g, " ").replace(/[&%$#_{}]|[~^\\<>[\]±×−χ²]/g, sign => LATEX[sign] ?? `\\${sign}`)).join(" & ") + " \\\\\n";
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
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows].filter(row => !row.hidden && !row.classList.contains("trials"));
    const twofold = heads.map((_, column) => rows.some(row => row.cells[column]?.querySelector("small")));
    const head = heads.flatMap((cell, column) => {
      const title = textOf(cell), small = textOf(cell, true);
      return twofold[column] ? [title, `${title}, ${small || "total interval"}`] : [small ? `${title} (${small})` : title];
    });
    return [head, ...rows.map(row => [...row.cells].flatMap((cell, column) =>
      twofold[column] ? [textOf(cell), textOf(cell, true)] : [textOf(cell)]))];
  };

  const unescaped = text => String(text ?? "").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  const cellsOf = (trace, figure) => trace.z.flatMap((row, y) => row.map((value, x) => (
    {row: figure.rows[y]?.name ?? y, column: figure.columns[x]?.name ?? x, value})));

  const pointsOf = (trace, figure) => trace.x.map((x, point) => {
    const y = trace.y[point], whisker = (bars, end) => bars?.[end]?.[point] ?? bars?.array?.[point];
    return {
      series: trace.meta?.strategy ?? unescaped(trace.name), what: trace.meta?.what,
      model: trace.customdata?.[point]?.[0], strategy: trace.customdata?.[point]?.[1],
      row: figure.rows[Math.round(y)]?.name, column: figure.columns[Math.round(x)]?.name,
      x: figure.columns.length ? undefined : x, "x minus": whisker(trace.error_x, "arrayminus"), "x plus": whisker(trace.error_x, "array"),
      y: figure.rows.length ? undefined : y, "y minus": whisker(trace.error_y, "arrayminus"), "y plus": whisker(trace.error_y, "array"),
    };
  }).filter(({x, y, row, column}) => [x, y, row, column].some(value => value !== undefined && value !== null));

  // An axis of quantities is named by its title; columns of which nothing is known are left out.
  const dataOf = figure => {
    const points = figure.data.flatMap(trace => (trace.z ? cellsOf : pointsOf)(trace, figure));
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

  for (const plot of document.querySelectorAll(".plot")) {
    const element = plot.closest("figure"), title = element.querySelector("figcaption").textContent, name = fileName(title);
    const image = async format => {
      const figure = report.shown(report.read(plot)), size = {width: plot.clientWidth, height: plot.clientHeight};
      const layout = {...report.printed(figure), ...size, paper_bgcolor: "#ffffff"};
      download(`${name}.${format}`, await Plotly.toImage({data: figure.data, layout}, {format, ...size, scale: format === "png" ? 2 : 1}));
    };
    element.prepend(menu(title, {
      SVG: () => image("svg"), PNG: () => image("png"),
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
