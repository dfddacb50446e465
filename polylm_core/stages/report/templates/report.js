"use strict";
const unread = document.getElementById("no-charts");
unread.hidden = true;

// Tables that sort by a click or a key on their heads.
const UNITS = { bytes: 1, kB: 1e3, MB: 1e6, GB: 1e9, million: 1e6, billion: 1e9 };
const SECONDS = { s: 1, min: 60, h: 3600 };
function figureOf(text) {
  const spans = [...text.matchAll(/(\d+(?:\.\d+)?)[\s\u00a0](h|min|s)\b/g)];
  if (spans.length) return spans.reduce((sum, [, value, unit]) => sum + value * SECONDS[unit], 0);
  const found = text.replaceAll(",", "").match(/^[^\d-]*([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)[\s\u00a0]*(\w+)?/);
  return found ? Number(found[1]) * (UNITS[found[2]] ?? 1) : NaN;
}
function sortBy(table, column, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const words = head.classList.contains("words");
  const rows = [...table.tBodies[0].rows].map((row, place) => {
    const text = row.cells[column].textContent.trim();
    return { row, place, text, figure: figureOf(text), total: row.classList.contains("total") };
  });
  const sign = descending ? -1 : 1;
  rows.sort((a, b) => {
    if (a.total !== b.total) return a.total ? -1 : 1;
    if (words) return sign * a.text.localeCompare(b.text, "en") || a.place - b.place;
    // What has no figure is last, whichever way.
    if (isNaN(a.figure) || isNaN(b.figure)) return isNaN(a.figure) - isNaN(b.figure);
    return sign * (a.figure - b.figure) || a.place - b.place;
  });
  table.tBodies[0].append(...rows.map((each) => each.row));
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column, head));
    head.append(button);
  });
}

// Charts, drawn once they are on show: one that is hidden has no width.
let drawing = false;
function draw() {
  if (!drawing) return;
  for (const source of document.querySelectorAll("script[data-chart]:not([data-drawn])")) {
    const place = document.getElementById(source.dataset.chart);
    if (place.clientWidth === 0) continue;
    source.dataset.drawn = "";
    const figure = JSON.parse(source.textContent);
    Plotly.newPlot(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
  }
}
async function unpackPlotly() {
  const packed = atob(document.getElementById("plotly").textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

// One scorecard at a time, chosen by name or by the address: report.html#language-arb_Arab.
const cards = [...document.querySelectorAll("article.language")];
const choice = document.getElementById("language-choice");
function showCard(id) {
  for (const card of cards) card.hidden = card.id !== id;
  choice.value = id;
  draw();
}
function followAddress() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (id === "") showCard(cards[0].id);
  if (!cards.some((card) => card.id === id)) return;
  showCard(id);
  document.getElementById(id).scrollIntoView();
}
if (cards.length) {
  document.getElementById("language-switch").hidden = false;
  choice.addEventListener("change", () => { location.hash = choice.value; });
  addEventListener("hashchange", followAddress);
  showCard(cards[0].id);
  followAddress();
}
unpackPlotly().then(
  () => { drawing = true; draw(); document.documentElement.dataset.charts = "drawn"; },
  () => { unread.hidden = false; },
);
