"use strict";
// Charts by Observable Plot. Colors are the page's own variables, so that themes switch them; series also differ by
// symbol and dash.
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent).charts;
  const COLORS = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s6)", "var(--s7)", "var(--s8)"];
  const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 3", "6 2 1 2 1 2"];
  const SYMBOLS = ["circle", "square", "triangle", "diamond2", "star", "times", "triangle2", "hexagon"];
  const STATES = {
    above: { fill: "var(--good)", symbol: "triangle" },
    below: { fill: "var(--bad)", symbol: "triangle2" },
    open: { fill: "var(--sheet)", symbol: "circle" },
  };
  const STYLE = { background: "none", color: "var(--ink)", fontFamily: "inherit", fontSize: "12px" };
  const label = (text) => Object.assign(document.createElement("p"), { className: "quiet", textContent: text });

  // Screen readers would read Plot's names of groups one by one.
  const quiet = (plot) => {
    for (const group of plot.querySelectorAll("[aria-label]")) group.removeAttribute("aria-label");
    return plot;
  };

  // Draw into a figure, and redraw when its width changes.
  const drawn = (figure, draw) => {
    let plot = null;
    let width = 0;
    const redraw = () => {
      const now = Math.floor(figure.clientWidth);
      if (now === width || now === 0) return;
      width = now;
      const fresh = quiet(draw(width));
      fresh.setAttribute("role", "img");
      fresh.setAttribute("aria-label", figure.getAttribute("aria-label"));
      if (plot) plot.replaceWith(fresh);
      else figure.append(fresh);
      plot = fresh;
    };
    redraw();
    new ResizeObserver(() => requestAnimationFrame(redraw)).observe(figure);
  };

  const longest = (texts) => Math.max(...texts.map((text) => text.length));

  const systems = (points, width) => {
    const names = [...new Set(points.map((point) => point.of))];
    const groups = [...new Set(points.map((point) => point.category))];
    const judged = points.filter((point) => point.is !== "baseline");
    const base = points.filter((point) => point.is === "baseline");
    const row = 24 * (names.length + 1);
    return Plot.plot({
      width,
      height: groups.length * row + 40,
      marginLeft: Math.min(width * 0.45, 16 + 6.4 * longest(names)), // the longest name is whole on a phone
      marginRight: 44,
      marginTop: 4,
      style: STYLE,
      x: { label: null, nice: true, ticks: Math.max(3, Math.floor(width / 110)), grid: true },
      y: { label: null, domain: names, padding: 0.4, tickSize: 0, insetTop: 22 },
      fy: { label: null, domain: groups, axis: null, padding: 0 },
      marks: [
        Plot.frame({ anchor: "top", stroke: "var(--line)" }),
        Plot.text(groups, { fy: (group) => group, text: (group) => group, frameAnchor: "top-left", dx: 2, dy: 6, fontWeight: 650, fontSize: 13 }),
        Plot.ruleX(base, { x: "value", fy: "category", stroke: "var(--ink)", strokeDasharray: "4 3", insetTop: 20 }),
        Plot.ruleY(judged, { y: "of", x1: "low", x2: "high", fy: "category", stroke: "var(--edge)", strokeWidth: 2.5 }),
        ...Object.entries(STATES).map(([state, look]) =>
          Plot.dot(judged.filter((point) => point.is === state), {
            x: "value", y: "of", fy: "category", r: 5, ...look, stroke: state === "open" ? "var(--quiet)" : look.fill, strokeWidth: 2,
          })),
        Plot.text(points, { x: (point) => point.high ?? point.value, y: "of", fy: "category", text: (point) => point.value.toFixed(3), textAnchor: "start", dx: 8, fill: "currentColor" }),
      ],
    });
  };

  const series = (points) => [...new Set(points.map((point) => point.of))];

  const legend = (names) => {
    const list = Object.assign(document.createElement("ul"), { className: "legend" });
    names.forEach((name, index) => {
      const item = document.createElement("li");
      const swatch = Plot.plot({
        width: 32, height: 14, margin: 0, axis: null, x: { domain: [0, 2] }, y: { domain: [0, 2] },
        marks: [
          Plot.line([[0, 1], [2, 1]], { stroke: COLORS[index], strokeDasharray: DASHES[index], strokeWidth: 2 }),
          Plot.dot([[1, 1]], { fill: COLORS[index], symbol: SYMBOLS[index], r: 3.5 }),
        ],
      });
      quiet(swatch).setAttribute("aria-hidden", "true");
      swatch.classList.add("swatch");
      item.append(swatch, name);
      list.append(item);
    });
    return list;
  };

  const lines = (points, width, { x, zero = false }) => {
    const names = series(points);
    const many = names.length > COLORS.length;
    const of = (name) => points.filter((point) => point.of === name);
    const thinned = (points) => {
      const every = Math.ceil(points.length / 12);
      return points.filter((_, index) => index % every === 0 || index === points.length - 1);
    };
    return Plot.plot({
      width,
      height: Math.min(230, Math.max(170, width * 0.55)),
      marginLeft: 52,
      marginRight: 12,
      marginBottom: 36,
      style: STYLE,
      x: { label: x, labelArrow: "none", ticks: Math.min(6, Math.floor(width / 60)) },
      y: { label: null, grid: true, ticks: 5, zero, nice: true },
      marks: many
        ? [Plot.line(points, { x: "x", y: "y", z: "of", stroke: "var(--quiet)", strokeWidth: 1 })]
        : names.flatMap((name, index) => [
            Plot.line(of(name), { x: "x", y: "y", stroke: COLORS[index], strokeDasharray: DASHES[index], strokeWidth: 2 }),
            Plot.dot(thinned(of(name)), { x: "x", y: "y", fill: COLORS[index], symbol: SYMBOLS[index], r: 3.5 }),
          ]),
    });
  };

  const lineFigure = (figure, points, options) => {
    const names = series(points);
    if (names.length > COLORS.length) figure.append(label(`Each line is one of ${names.length}.`));
    else if (names.length > 1 || options.named) figure.append(legend(names));
    drawn(figure, (width) => lines(points, width, options));
  };

  const lengths = ({ lengths: bins, max_length: limit }, width) => {
    const step = bins.length > 1 ? bins[1].up_to - bins[0].up_to : bins[0].up_to;
    const open = bins.length === 64; // the last holds all that are longer
    const end = bins[bins.length - 1].up_to;
    const bars = bins.map((bin) => ({ from: bin.up_to - step, to: bin.up_to, texts: bin.texts }));
    return Plot.plot({
      width,
      height: Math.min(260, width * 0.6),
      marginLeft: 52,
      marginBottom: 36,
      style: STYLE,
      x: { label: open ? `tokens (the last bar: ${end - step} and more)` : "tokens", labelArrow: "none", ticks: Math.floor(width / 80) },
      y: { type: "sqrt", label: "texts, on a square-root scale", labelArrow: "none", grid: true, ticks: 5 },
      marks: [
        Plot.rectY(bars.filter((bar) => bar.from < limit), { x1: "from", x2: "to", y: "texts", fill: "var(--s1)", insetRight: 0.5 }),
        Plot.rectY(bars.filter((bar) => bar.from >= limit), { x1: "from", x2: "to", y: "texts", fill: "var(--s2)", insetRight: 0.5 }),
        Plot.ruleY([0]),
        Plot.ruleX([limit], { stroke: "var(--ink)", strokeDasharray: "4 3", strokeWidth: 1.5 }),
        Plot.text([`cut at ${limit} →`], { x: limit, frameAnchor: "top", textAnchor: "start", dx: 6, dy: 4, fontWeight: 650, fill: "currentColor" }),
      ],
    });
  };

  for (const figure of document.querySelectorAll("figure[data-chart=systems]")) {
    drawn(figure, (width) => systems(data.systems[figure.dataset.measure], width));
  }
  lineFigure(document.querySelector("[data-chart=recall]"), data.recall, { x: "hits (k)", named: true });
  const histogram = document.querySelector("[data-chart=lengths]");
  drawn(histogram, (width) => lengths(data.lengths, width));
  const training = document.querySelector("[data-chart=training]");
  let group = null;
  for (const chart of data.training) {
    if (chart.group !== group) {
      group = chart.group;
      if (group) training.append(Object.assign(document.createElement("h3"), { textContent: group }));
      training.append(Object.assign(document.createElement("div"), { className: "charts small-multiples" }));
    }
    const figure = document.createElement("figure");
    figure.setAttribute("aria-label", `${group ? `${group}: ` : ""}${chart.title}, by ${chart.x}`);
    figure.append(Object.assign(document.createElement("figcaption"), { textContent: chart.title }), label(chart.about));
    training.lastChild.append(figure);
    lineFigure(figure, chart.points, { x: chart.x, named: true });
  }
})();
