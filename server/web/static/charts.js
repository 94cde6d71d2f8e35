// Charts: draws each figure's own table of numbers. The table stays: for reading, copying, and when this does not run.
"use strict";

const HUES = 6; // --chart-1 to --chart-6 in portal.css
const DAY = /^\d{4}-\d{2}/; // time goes from left to right
const PLAIN = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

// The theme's colors as the canvas needs them: resolved, which only a styled element can do. Each is asked for once.
const colors = new Map();

function color(name) {
  if (!colors.has(name)) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    colors.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colors.get(name);
}

function inWords(value, unit) {
  if (unit === "seconds") return `${PLAIN.format(value)} s`;
  if (unit !== "bytes") return PLAIN.format(value);
  let size = value;
  let step = 0;
  while (size >= 999.5 && step < UNITS.length - 1) {
    size /= 1000;
    step += 1;
  }
  return `${Number(size.toPrecision(3))} ${UNITS[step]}`;
}

function read(table) {
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells].slice(1);
  return {
    labels: rows.map((row) => row.cells[0].textContent.trim()),
    series: heads.map((head, place) => ({
      label: head.textContent.trim(),
      data: rows.map((row) => {
        const text = row.cells[place + 1].dataset.value;
        return text === "" ? null : Number(text);
      }),
    })),
  };
}

function dress(series, kind, place) {
  const hue = color(`--chart-${(place % HUES) + 1}`);
  const common = { ...series, backgroundColor: hue, borderColor: hue };
  if (kind === "line") return { ...common, borderWidth: 2, pointRadius: 2, tension: 0, spanGaps: false };
  return { ...common, borderWidth: 0, borderRadius: 2, maxBarThickness: 48 };
}

function axis(value, lines) {
  return {
    ...value,
    border: { display: false },
    grid: { display: lines, color: color("--line") },
    ticks: { ...value.ticks, color: color("--quiet") },
  };
}

function draw(figure) {
  const { kind, unit } = figure.dataset;
  const { labels, series } = read(figure.querySelector("table"));
  const words = { callback: (value) => inWords(value, unit), maxTicksLimit: 6, precision: unit === "seconds" ? undefined : 0 };
  const lying = kind === "bars" && !labels.every((label) => DAY.test(label)); // names are long: they stand at the left
  const names = axis({ ticks: { maxRotation: 0, autoSkipPadding: 16 } }, false);
  const numbers = axis({ beginAtZero: true, ticks: words }, true);
  const box = figure.querySelector(".chart-canvas");
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${figure.querySelector(".chart-title").textContent}. The numbers are in the table below.`);
  box.replaceChildren(canvas);
  return new Chart(canvas, {
    type: kind === "line" ? "line" : "bar",
    data: { labels, datasets: series.map((one, place) => dress(one, kind, place)) },
    options: {
      indexAxis: lying ? "y" : "x",
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", axis: lying ? "y" : "x", intersect: false },
      scales: lying ? { y: names, x: numbers } : { x: names, y: numbers },
      plugins: {
        legend: {
          display: series.length > 1,
          align: "start",
          labels: { color: color("--text"), boxWidth: 10, boxHeight: 10, useBorderRadius: true, borderRadius: 2 },
        },
        tooltip: {
          callbacks: { label: (item) => `${item.dataset.label}: ${inWords(item.raw ?? 0, unit)}` },
        },
      },
    },
  });
}

const drawn = [];

function figures() {
  return [...document.querySelectorAll("figure.chart")].filter((figure) => figure.querySelector("table"));
}

function drawAgain() {
  colors.clear();
  for (const chart of drawn.splice(0)) chart.destroy();
  drawn.push(...figures().map(draw));
}

async function begin() {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  for (const figure of figures()) {
    drawn.push(draw(figure));
    await new Promise((done) => setTimeout(done)); // so that a slow phone answers in between
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
}

// The library is larger than the page: it is fetched once the page is there to read.
const library = document.createElement("script");
library.src = document.currentScript.dataset.library;
library.addEventListener("load", begin);
requestAnimationFrame(() => setTimeout(() => document.head.append(library)));
