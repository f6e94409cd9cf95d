"use strict";
// Draws each picture when it comes near the screen: a page of forty pictures opens at once, and prints whole.
const drawings = JSON.parse(document.getElementById("drawings").textContent);
const songNames = JSON.parse(document.getElementById("song-names").textContent);
const ink = "#222222", grid = "#e6e6ea";

function withHouseStyle(layout) {
  const axis = (own = {}) => ({ gridcolor: grid, zerolinecolor: "#8a8a90", linecolor: "#8a8a90", ticks: "outside", tickcolor: "#8a8a90", ticklen: 4, automargin: true, ...own, title: { standoff: 8, font: { size: 13 }, ...own.title } });
  return {
    font: { family: 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif', size: 13, color: ink },
    paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", dragmode: false,
    margin: { l: 56, r: 16, t: 46, b: 48 },
    hoverlabel: { bgcolor: "#ffffff", bordercolor: "#8a8a90", font: { size: 13, color: ink }, align: "left", namelength: -1 },
    ...layout,
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
  };
}

function joinPointsOnHover(plot, layout) {
  const still = layout.shapes || [];
  plot.on("plotly_hover", (event) => {
    const i = event.points[0].pointIndex, [from, to] = plot.data;
    const line = { type: "line", x0: from.x[i], y0: from.y[i], x1: to.x[i], y1: to.y[i], line: { color: ink, width: 2 } };
    Plotly.relayout(plot, { shapes: [...still, line] });
  });
  plot.on("plotly_unhover", () => Plotly.relayout(plot, { shapes: still }));
}

function draw(plot) {
  if (plot.dataset.drawn) return;
  plot.dataset.drawn = "yes";
  const { data, layout } = drawings[plot.id];
  for (const trace of data) if (trace.customdata === "songs") trace.customdata = songNames;
  const styled = withHouseStyle(layout);
  const config = {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "resetScale2d"]],
    toImageButtonOptions: { filename: "affekt-" + plot.id, scale: 2 },
  };
  Plotly.newPlot(plot, data, styled, config).then(() => { if (layout.meta && layout.meta.join) joinPointsOnHover(plot, styled); });
}

const plots = [...document.querySelectorAll(".plot")];
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "800px" });
plots.forEach((plot) => watcher.observe(plot));
window.addEventListener("beforeprint", () => plots.forEach(draw));
