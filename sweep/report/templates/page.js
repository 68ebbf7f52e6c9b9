"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Figures carry no colours of paper, text or grid: they take the page's, light or dark.
  const template = () => {
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

  const draw = plot => {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(plot.id + "-data").textContent);
    Plotly.newPlot(plot, figure.data, {...figure.layout, template: template(), dragmode: false},
                   {displaylogo: false, responsive: true, displayModeBar: false});
  };

  const plots = [...document.querySelectorAll(".plot")];
  const near = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, {rootMargin: "600px"});
  plots.forEach(plot => near.observe(plot));

  addEventListener("beforeprint", () => plots.forEach(draw));
  dark.addEventListener("change", () => {
    for (const plot of plots) if (plot.dataset.drawn) Plotly.relayout(plot, {template: template()});
  });
})();
