// What stands in the cells of confusion matrices: shares, as they are written, or counts. Colours are of shares.
(() => {
  const choice = document.getElementById("cells");
  if (!choice) return;
  const read = report.read;
  report.read = plot => {
    const figure = read(plot);
    if (choice.value === "count" && plot.id.startsWith("figure-confusion-")) figure.data[0].texttemplate = "%{text}";
    return figure;
  };
  document.getElementById("cells-choice").hidden = false;
  choice.addEventListener("change", () => report.redraw());
})();
