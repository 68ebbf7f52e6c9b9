"use strict";
// What the parts of this script share: filter.js, tables.js, save.js and contents.js follow.
const report = {};
document.documentElement.classList.add("scripted");

// Figures: unpacked, drawn when they come near the window, in the colours of the page.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [...document.querySelectorAll(".plot")];
  const onPaper = document.createElement("div");
  onPaper.className = "on-paper";
  onPaper.hidden = true;
  document.body.append(onPaper);

  // Figures carry no colours of paper, text or grid: they take the page's, light or dark, or those of print.
  const template = element => {
    const style = getComputedStyle(element), colour = name => style.getPropertyValue(name).trim();
    const axis = {gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line"),
                  automargin: true, ticks: ""};
    return {data: {heatmap: [{textfont: {color: colour("--ink")}}]}, layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink")},
      xaxis: axis, yaxis: axis, margin: {l: 8, r: 12, t: 8, b: 8}, hovermode: "closest",
      legend: {orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom"},
      coloraxis: {colorscale: [[0, colour("--heat-0")], [0.5, colour("--heat-1")], [1, colour("--heat-2")]]},
      hoverlabel: {align: "left", bgcolor: colour("--card"), bordercolor: colour("--line"), font: {color: colour("--ink")}},
    }};
  };

  report.read = plot => JSON.parse(document.getElementById(plot.id + "-data").textContent);
  report.printed = figure => ({...figure.layout, template: template(onPaper), dragmode: false});

  // A name with two dollar signs is no formula.
  const QUIET = report.quiet = {displaylogo: false, displayModeBar: false, typesetMath: false};

  const draw = (plot, print = false) => {
    const figure = report.shown(report.read(plot));
    if (!figure) return;
    plot.dataset.drawn = "yes";
    const layout = {...figure.layout, height: plot.clientHeight, template: template(print ? onPaper : plot), dragmode: false};
    if (print) layout.width = plot.closest(".grid") ? 310 : 960;
    Plotly.react(plot, figure.data, layout, {...QUIET, responsive: true});
  };

  const near = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, {rootMargin: "600px"});

  // What is drawn is drawn anew, the rest when it is reached: an observer tells at once what is near.
  report.redraw = () => {
    for (const plot of plots) {
      delete plot.dataset.drawn;
      near.unobserve(plot);
      near.observe(plot);
    }
  };

  const unpack = async () => {
    const packed = atob(document.getElementById("plotly").textContent), bytes = new Uint8Array(packed.length);
    // A plain loop: two million calls would be a fifth of a second.
    for (let place = 0; place < packed.length; place++) bytes[place] = packed.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    script.remove();
  };

  for (const plot of plots) {
    const table = plot.closest("section").querySelector("table");
    if (!table) continue;
    table.id ||= `${plot.id}-table`;
    plot.setAttribute("aria-details", table.id);
  }

  report.start = async () => {
    if (!plots.length) return;
    try {
      await unpack();
    } catch {
      document.getElementById("no-figures").hidden = false;
      for (const plot of plots) plot.closest("figure").remove();
      return;
    }
    report.redraw();
    dark.addEventListener("change", report.redraw);
    addEventListener("beforeprint", () => {
      for (const plot of plots) if (plot.clientWidth) draw(plot, true);
    });
    addEventListener("afterprint", report.redraw);
  };
})();
