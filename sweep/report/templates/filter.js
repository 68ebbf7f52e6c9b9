// One filter for every row and every figure. What is whose stands in the page: see filtering.py.
(() => {
  const form = document.getElementById("filter");
  const hidden = {model: new Set(), strategy: new Set()};
  const hides = whose => hidden.model.has(whose.model) || hidden.strategy.has(whose.strategy);

  const hidesRow = ({dataset: row}) =>
    hides(row) || hides({model: row.modelB, strategy: row.strategyB});

  // Places of an axis move together where some between them are left out; what stands beyond its ends stays there.
  const moves = places => {
    const kept = places.map((_, place) => place).filter(place => !hides(places[place]));
    const to = value => {
      const near = Math.round(value);
      if (!places.length || near < 0) return value;
      if (near >= places.length) return value - places.length + kept.length;
      const now = kept.indexOf(near);
      return now < 0 ? null : value - near + now;
    };
    return {kept, to, all: kept.length === places.length, none: places.length > 0 && !kept.length,
            places: kept.map(place => places[place])};
  };

  const moveAxis = (axis, move) => {
    if (!axis || move.all) return axis;
    const moved = {...axis};
    if (axis.tickvals) {
      const there = axis.tickvals.map(move.to);
      moved.tickvals = there.filter(value => value !== null);
      if (axis.ticktext) moved.ticktext = axis.ticktext.filter((_, tick) => there[tick] !== null);
    }
    if (axis.range) moved.range = axis.range.map(move.to);
    return moved;
  };

  // Everything in a trace that has an entry a point: error bars, colours and words beside x and y.
  const pick = (value, of, points) => {
    if (Array.isArray(value)) return value.length === of ? points.map(point => value[point]) : value;
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, pick(part, of, points)]));
  };

  const shownPoints = (trace, columns, rows) => {
    const of = (trace.y ?? trace.x ?? []).length;
    const points = [...Array(of).keys()].filter(point =>
      (columns.all || columns.to(trace.x[point]) !== null) && (rows.all || rows.to(trace.y[point]) !== null)
      && !hides({model: trace.customdata?.[point]?.[0], strategy: trace.customdata?.[point]?.[1]}));
    if (!points.length && of) return null;
    const shown = points.length === of ? {...trace} : pick(trace, of, points);
    if (!columns.all) shown.x = shown.x.map(columns.to);
    if (!rows.all) shown.y = shown.y.map(rows.to);
    return shown;
  };

  const shownCells = (trace, columns, rows) => {
    const cells = name => trace[name] && {[name]: rows.kept.map(row => columns.kept.map(column => trace[name][row][column]))};
    const places = move => move.kept.map((_, place) => place);
    return {...trace, ...cells("z"), ...cells("text"), ...cells("hovertext"), x: places(columns), y: places(rows)};
  };

  // The figure without what is hidden, or nothing where nothing of it is left.
  report.shown = figure => {
    const columns = moves(figure.columns), rows = moves(figure.rows);
    if (hides(figure) || columns.none || rows.none) return null;
    const whole = columns.all && rows.all;
    const data = figure.data.filter(trace => !hides(trace.meta ?? {})).map(trace =>
      trace.type === "heatmap" ? (whole ? trace : shownCells(trace, columns, rows)) : shownPoints(trace, columns, rows));
    if (!data.some(trace => trace)) return null;
    const layout = {...figure.layout, xaxis: moveAxis(figure.layout.xaxis, columns), yaxis: moveAxis(figure.layout.yaxis, rows)};
    return {data: data.filter(trace => trace), layout, columns: columns.places, rows: rows.places};
  };

  // Of what is there once a metric, that of the metric chosen; accuracy where it has none of its own.
  const chooseMetric = () => {
    const chosen = form.elements.metric?.value ?? "accuracy";
    const all = [...document.querySelectorAll("[data-metric]")];
    for (const {dataset: {part}} of all) {
      const same = all.filter(each => each.dataset.part === part);
      const one = same.find(each => each.dataset.metric === chosen) ?? same[0];
      for (const each of same) each.hidden = each !== one;
    }
  };

  const fit = plot => {
    const figure = report.read(plot), shown = report.shown(figure), element = plot.closest("figure");
    if (!shown) { element.hidden = true; return; }
    // The ends of an axis of rows, words and legend take some 90 pixels whatever the number of rows.
    const height = Number(plot.dataset.height), share = figure.rows.length ? shown.rows.length / figure.rows.length : 1;
    plot.style.height = `${Math.max(Math.min(height, 160), Math.round(90 + (height - 90) * share))}px`;
  };

  // A list of configurations offers those that are shown; one that is chosen and hidden gives way to the first.
  const hideOptions = list => {
    for (const option of list.options) option.hidden = option.disabled = hides(option.dataset);
    if (!list.selectedOptions[0]?.hidden) return;
    list.selectedIndex = 0;
    list.dispatchEvent(new Event("change"));
  };

  const apply = () => {
    for (const name of ["model", "strategy"]) {
      hidden[name] = new Set([...form.querySelectorAll(`input[name="${name}"]:not(:checked)`)].map(box => box.value));
    }
    for (const row of document.querySelectorAll("tr[data-model], tr[data-strategy]")) row.hidden = hidesRow(row);
    for (const cell of document.querySelectorAll("[data-column]")) cell.hidden = hides({strategy: cell.dataset.column});
    new Set([...document.querySelectorAll("option[data-model]")].map(option => option.parentElement)).forEach(hideOptions);
    for (const figure of document.querySelectorAll("figure")) figure.hidden = false;
    chooseMetric();
    document.querySelectorAll(".plot").forEach(fit);
    const all = [...document.querySelectorAll("#summary > tbody > tr[data-model]")];
    const gone = all.filter(row => row.hidden).length;
    const told = `${gone} of ${all.length} configurations hidden`;
    document.getElementById("filter-told").textContent = `${told}.`;
    const link = document.getElementById("filter-link");
    link.parentElement.hidden = !gone;
    link.textContent = told;
    report.redraw();
  };

  if (!form) { report.start(); return; }
  for (const plot of document.querySelectorAll(".plot")) plot.dataset.height = parseInt(plot.style.height);
  form.hidden = false;
  form.addEventListener("change", apply);
  form.addEventListener("submit", event => event.preventDefault());
  // A browser that goes back to the page fills the form before the script runs; the reset comes after the event.
  form.addEventListener("reset", () => setTimeout(apply));
  chooseMetric();
  report.start().then(apply);
})();
