"use strict";
// Draws each picture when it comes near the screen: a page of forty pictures opens at once, and prints whole.
const stored = (id) => JSON.parse(document.getElementById(id).textContent);
const drawings = stored("drawings"), songNames = stored("song-names"), excerpts = stored("excerpts");
const ink = "#222222", grid = "#e6e6ea", edge = "#8a8a90";
const heard = songNames.map((name, i) => (excerpts[i] ? name + "<br>♪ click to listen" : name));

function withHouseStyle(layout, isNarrow) {
  const narrow = isNarrow ? { tickfont: { size: 11 }, nticks: 5 } : {};
  const axis = (own = {}) => ({ ...narrow, gridcolor: grid, zerolinecolor: edge, linecolor: edge, ticks: "outside", tickcolor: edge, ticklen: 4, automargin: true, ...own, title: { standoff: 8, font: { size: 13 }, ...own.title } });
  return {
    font: { family: 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif', size: 13, color: ink },
    paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", dragmode: false, hovermode: "closest",
    margin: { l: 40, r: 12, t: 28, b: 40 },
    hoverlabel: { bgcolor: "#ffffff", bordercolor: edge, font: { size: 13, color: ink }, align: "left", namelength: -1 },
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
  const songs = layout.meta && layout.meta.songs;
  let speaks = Boolean(songs);
  for (const trace of data) if (trace.customdata === "songs") { trace.customdata = heard; speaks = true; }
  const styled = withHouseStyle(layout, plot.clientWidth < 420);
  const config = {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "resetScale2d"]],
    toImageButtonOptions: { filename: "affekt-" + plot.id, scale: 2 },
  };
  Plotly.newPlot(plot, data, styled, config).then(() => {
    if (layout.meta && layout.meta.join) joinPointsOnHover(plot, styled);
    if (speaks) plot.on("plotly_click", (event) => {
      const i = event.points[0].pointIndex;
      play(songs ? songs[i] : i);
    });
  });
}

// One player for the page: a song that starts silences the one before.
const player = new Audio();
let playing = null;

function play(song) {
  if (!excerpts[song]) return;
  if (playing === String(song) && !player.paused) { player.pause(); return; }
  if (playing !== String(song)) player.src = excerpts[song];
  playing = String(song);
  player.currentTime = 0;
  player.play().catch(() => tell("playing", "This excerpt cannot be played here."));
}

function tell(id, words) { const place = document.getElementById(id); if (place) place.textContent = words; }

function showPlaying() {
  for (const button of document.querySelectorAll(".play")) {
    const on = button.dataset.song === playing && !player.paused && !player.ended;
    button.setAttribute("aria-pressed", String(on));
    button.firstElementChild.textContent = on ? "■" : "▶";
  }
}
for (const change of ["play", "pause", "ended", "error"]) player.addEventListener(change, showPlaying);
for (const button of document.querySelectorAll(".play")) button.addEventListener("click", () => play(button.dataset.song));

function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  const done = () => { tell("copied", "Copied."); button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 2000); };
  const selected = () => { getSelection().selectAllChildren(source); if (document.execCommand("copy")) done(); else tell("copied", "Selected; press the keys that copy."); };
  if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(done, selected); else selected();
}
for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));

const plots = [...document.querySelectorAll(".plot")];
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "800px" });
plots.forEach((plot) => watcher.observe(plot));
// Paper cannot be unfolded: tables of their own are printed open, the numbers behind pictures are not printed.
const folded = [...document.querySelectorAll("details")].filter((one) => !one.closest("figure") && !one.open);
window.addEventListener("beforeprint", () => { plots.forEach(draw); for (const one of folded) one.open = true; });
window.addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
