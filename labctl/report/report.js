"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { algorithms, loads, factors, metrics } = data.results;
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = algorithm => css("--a" + (algorithms.indexOf(algorithm) % 8));
  const symbols = ["circle", "square", "diamond", "cross", "x", "star", "hexagon", "pentagon"];
  const symbol = algorithm => symbols[algorithms.indexOf(algorithm) % symbols.length];
  const narrow = () => window.innerWidth < 640;
  const settings = { displaylogo: false, displayModeBar: false };
  const PAPER = 640;  // what a picture is wide in print: A4 and Letter have room for it
  const short = value => Number(value.toPrecision(3)).toString();

  function common() {
    const line = css("--line"), soft = css("--soft");
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", size: 12, color: css("--text") },
      hoverlabel: { bgcolor: css("--card"), bordercolor: line, font: { color: css("--text") } },
      axis: { gridcolor: line, linecolor: line, zeroline: false, tickfont: { color: soft }, title: { font: { color: soft, size: 12 } }, fixedrange: true },
    };
  }

  // Pictures of metrics: every trial a point, every cell a bar at its median.
  const place = (load, algorithm) => load + (algorithms.indexOf(algorithm) - (algorithms.length - 1) / 2) * (0.72 / algorithms.length);

  function pointsOf(metric, algorithm) {
    const groups = new Map();
    for (const point of metric.points.filter(p => p.algorithm === algorithm)) {
      if (!groups.has(point.load)) groups.set(point.load, []);
      groups.get(point.load).push(point);
    }
    const dots = { x: [], y: [], custom: [], text: [], symbol: [] }, bars = { x: [], y: [] }, ends = { x: [], y: [], up: [], down: [] };
    for (const [load, group] of groups) {
      const centre = place(load, algorithm), half = 0.3 / algorithms.length;
      group.forEach((point, i) => {
        dots.x.push(centre + (i - (group.length - 1) / 2) * Math.min(0.06, half / group.length));
        dots.y.push(point.value);
        dots.custom.push(point.trial);
        dots.symbol.push(point.given_up ? "triangle-up-open" : symbol(algorithm));
        dots.text.push(`trial ${point.trial}: ${point.given_up ? "more than " : ""}${short(point.value)} ${metric.unit}`);
      });
    }
    for (const cell of metric.middles.filter(m => m.algorithm === algorithm)) {
      const centre = place(cell.load, algorithm), half = 0.3 / algorithms.length;
      bars.x.push(centre - half, centre + half, null);
      bars.y.push(cell.median, cell.median, null);
      if (cell.interval) {
        ends.x.push(centre);
        ends.y.push(cell.median);
        ends.up.push(cell.interval[1] - cell.median);
        ends.down.push(cell.median - cell.interval[0]);
      }
    }
    return { dots, bars, ends };
  }

  // The loads under a picture: a level a line where there is room for that, else upright, every second or third of very many.
  function loadAxis(width) {
    const room = (width - 66) / loads.length, step = Math.max(1, Math.ceil(15 / room));
    const shown = loads.map((_, i) => i).filter(i => i % step === 0), longest = texts => Math.max(1, ...texts.map(text => text.length));
    const lines = Math.max(1, loads[0].length), flat = loads.map(load => load.join(", "));
    const fits = longest(loads.flat()) * 6.6 < room;
    return {
      tickvals: shown, ticktext: shown.map(i => fits ? loads[i].map(escapeText).join("<br>") : escapeText(flat[i])), tickangle: fits ? 0 : -90,
      below: fits ? 30 + 16 * lines : 40 + Math.min(260, 6.6 * longest(flat)),
    };
  }

  function drawMetric(metric, target, width = target.clientWidth) {
    const base = common(), traces = [];
    for (const algorithm of algorithms) {
      const { dots, bars, ends } = pointsOf(metric, algorithm);
      const tint = colour(algorithm);
      traces.push({ type: "scatter", mode: "lines", x: bars.x, y: bars.y, line: { color: tint, width: 3 }, hoverinfo: "skip" });
      traces.push({
        type: "scatter", mode: "markers", x: ends.x, y: ends.y, marker: { size: 1, color: css("--text") }, hoverinfo: "skip",
        error_y: { type: "data", symmetric: false, array: ends.up, arrayminus: ends.down, color: css("--text"), thickness: 1.2, width: 3 },
      });
      traces.push({
        type: "scatter", mode: "markers", x: dots.x, y: dots.y, customdata: dots.custom, text: dots.text.map(escapeText),
        hovertemplate: escapeText(algorithm) + "<br>%{text}<extra></extra>",
        marker: { color: tint, size: 8, opacity: 0.75, symbol: dots.symbol, line: { width: 1.2, color: tint } },
      });
    }
    const values = metric.points.map(point => point.value);
    const low = Math.min(...values), high = Math.max(...values);
    const log = low > 0 && high / low > 20;
    const { below, ...ticks } = loadAxis(width);
    Plotly.react(target, traces, {
      ...base, width, height: 240 + below, margin: { l: 56, r: 10, t: 10, b: below },
      xaxis: { ...base.axis, ...ticks, showgrid: false, range: [-0.6, loads.length - 0.4], title: { text: loads.length > 1 ? escapeText(factors) : "", font: base.axis.title.font } },
      yaxis: { ...base.axis, type: log ? "log" : "linear", dtick: log ? (high / low > 50 ? 1 : "D2") : undefined, rangemode: log ? "normal" : "tozero", title: { text: metric.unit + (log ? ", log" : ""), font: base.axis.title.font } },
    }, settings);
  }

  function escapeText(text) {
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  const cards = metrics.map(metric => {
    const card = document.createElement("div"), title = document.createElement("h3"), about = document.createElement("p"), plot = document.createElement("div");
    card.className = "card";
    title.textContent = `${metric.title}, ${metric.unit}`;
    about.textContent = metric.about;
    card.append(title, about, plot);
    document.getElementById("metrics").append(card);
    return plot;
  });
  for (const algorithm of algorithms) {
    const entry = document.createElement("span");
    entry.textContent = algorithm;
    entry.style.setProperty("--mark", `var(--a${algorithms.indexOf(algorithm) % 8})`);
    document.getElementById("legend").append(entry);
  }

  // The time course of one trial.
  const chooser = document.getElementById("trial"), timecourse = document.getElementById("timecourse");

  function drawCourse(width = timecourse.clientWidth) {
    const course = data.courses[Number(chooser.value)], base = common();
    const t = course.work.map((_, i) => course.t0_s + (i + 0.5) * course.dt_s);
    const label = course.work_is_beats ? "guest's beats, 1/s" : "guest's work, MiB/s";
    const line = (y, axis, tint, unit, shape) => ({
      type: "scatter", mode: "lines+markers", x: t, y, yaxis: axis, line: { color: tint, width: 1.5, shape }, marker: { color: tint, size: 2 },
      connectgaps: false, hovertemplate: `%{y:.4g} ${unit}<extra></extra>`,
    });
    const traces = [
      line(course.work, "y3", css("--a2"), course.work_is_beats ? "beats/s" : "MiB/s", "hvh"),
      line(course.remaining, "y2", css("--a5"), "MiB remaining", "linear"),
      line(course.wire, "y", css("--a0"), "Mbit/s", "hvh"),
    ];
    const opacity = { precopy: 0.1, blackout: 0.32, postcopy: 0.14 };
    const shapes = course.phases.map(phase => ({
      type: "rect", xref: "x", yref: "paper", x0: phase.from_s, x1: phase.to_s, y0: 0, y1: 1, layer: "below",
      fillcolor: css("--" + phase.name), opacity: opacity[phase.name], line: { width: phase.name === "blackout" ? 1 : 0, color: css("--blackout") },
    }));
    for (const pass of course.passes)
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: pass.at_s, x1: pass.at_s, y0: 0, y1: 1, line: { color: css("--soft"), width: 1, dash: "dot" } });
    if (course.link_mbit_per_s)
      shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: course.link_mbit_per_s, y1: course.link_mbit_per_s, line: { color: css("--soft"), width: 1, dash: "dash" } });
    const end = course.t0_s + course.work.length * course.dt_s;
    const room = (narrow() ? 0.06 : 0.025) * (end - course.t0_s);
    let last = -Infinity;
    const notes = course.passes.filter(pass => pass.at_s - last > room && (last = pass.at_s, true)).map(pass => ({
      xref: "x", yref: "paper", x: pass.at_s, y: 1, yanchor: "bottom", text: String(pass.number), showarrow: false, font: { size: 10, color: css("--soft") },
    }));
    if (course.link_mbit_per_s)
      notes.push({ xref: "paper", yref: "y", x: 1, xanchor: "right", y: course.link_mbit_per_s, yanchor: "bottom", text: "link", showarrow: false, font: { size: 10, color: css("--soft") } });
    const upTo = values => Math.max(1e-9, ...values.filter(value => value !== null)) * 1.08;
    const axis = (title, domain, most) => ({ ...base.axis, domain, range: [0, most], title: { text: title, font: base.axis.title.font }, nticks: 5 });
    Plotly.react(timecourse, traces, {
      ...base, width, height: 640, hovermode: "x", shapes, annotations: notes, margin: { l: narrow() ? 50 : 64, r: 14, t: 24, b: 44 },
      xaxis: { ...base.axis, fixedrange: false, range: [course.t0_s, end], anchor: "y", title: { text: "s since migrate", font: base.axis.title.font } },
      yaxis3: axis(label, [0.7, 1], upTo(course.work)),
      yaxis2: axis("remaining, MiB", [0.35, 0.65], upTo(course.remaining)),
      yaxis: axis("on the wire, Mbit/s", [0, 0.3], upTo([...course.wire, course.link_mbit_per_s])),
    }, { ...settings, doubleClick: "reset" });
  }

  function choose(index) {
    chooser.value = String((index + data.courses.length) % data.courses.length);
    drawCourse();
  }

  function draw(width) {
    metrics.forEach((metric, i) => drawMetric(metric, cards[i], width));
    if (data.courses.length) drawCourse(width);
  }

  const asked = data.courses.findIndex(course => location.hash === "#trial-" + course.trial);
  const telling = data.courses.findIndex(course => !course.work_is_beats && course.phases.some(phase => phase.name === "blackout"));
  if (chooser) chooser.value = String(Math.max(0, asked >= 0 ? asked : telling));
  draw();
  cards.forEach(card => card.on("plotly_click", event => {
    const index = data.courses.findIndex(course => course.trial === event.points[0].customdata);
    if (index < 0) return;
    choose(index);
    document.getElementById("course").scrollIntoView({ behavior: "smooth" });
  }));
  if (chooser) {
    chooser.addEventListener("change", () => drawCourse());
    document.getElementById("previous").addEventListener("click", () => choose(Number(chooser.value) - 1));
    document.getElementById("next").addEventListener("click", () => choose(Number(chooser.value) + 1));
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  let asking = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(asking);
    asking = requestAnimationFrame(() => draw());
  });
  window.addEventListener("beforeprint", () => draw(PAPER));
  window.addEventListener("afterprint", () => draw());
})();
