// Panels of lines over the steps: medians with bands of quartiles, and what they are at a step.

function linesOf(view, looks) {
  const last = Math.max(...view.panels.flatMap((panel) => panel.steps));
  const stage = element("div");
  const table = element("table", { class: "readings" });
  const charts = view.panels.map((panel) => {
    const box = element("div");
    stage.append(element("h4", {}, `${panel.label}, by step`), box);
    return { panel, box };
  });
  const label = "Values at this step";
  const frame = { class: "scroll-x", tabindex: 0, role: "region", "aria-label": label };
  stage.append(element("div", frame, table));

  let choose = () => {};
  const draw = () => {
    for (const chart of charts) chart.cursor = chartOf(chart, looks, last, (step) => choose(step));
  };
  const show = (step) => {
    for (const { cursor } of charts) cursor?.(step);
    table.replaceChildren(...readings(view.panels, looks, step));
  };
  return { node: stage, last, draw, show, onChoose: (wanted) => { choose = wanted; } };
}

function chartOf({ panel, box }, looks, last, choose) {
  const width = Math.max(box.clientWidth, 200);
  const height = 150;
  const [left, right, top, bottom] = [52, width - 8, 8, height - 22];
  const x = scaled([0, last], left, right);
  const values = panel.lines.flatMap((line) => [...line.middle, ...line.low, ...line.high]);
  const known = values.filter((value) => value !== null);
  if (!known.length) {
    box.replaceChildren(element("p", {}, "No value is defined."));
    return () => {};
  }
  const y = scaled(known, bottom, top, panel.log);
  const points = (numbers) => numbers.map((value, place) =>
    value === null ? null : [x.place(panel.steps[place]).toFixed(1), y.place(value).toFixed(1)]);
  const svg = drawn("svg", {
    viewBox: `0 0 ${width} ${height}`,
    height,
    role: "img",
    "aria-label": `${panel.label} over steps`,
  });
  const label = (tick, x, y, anchor) =>
    svg.append(drawn("text", { x, y, "text-anchor": anchor }, written(tick)));
  for (const tick of y.ticks) {
    const at = y.place(tick);
    svg.append(drawn("path", { class: "rule", d: `M${left} ${at.toFixed(1)}H${right}` }));
    label(tick, left - 6, at + 4, "end");
  }
  for (const tick of x.ticks) label(tick, x.place(tick), height - 6, "middle");
  svg.append(drawn("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }));
  for (const line of panel.lines) {
    const look = looks[line.arm] ?? looks.neutral;
    const band = bandOf(points(line.low), points(line.high));
    svg.append(drawn("path", { d: band, fill: look[0], opacity: 0.16 }));
    const d = pathOf(points(line.middle));
    svg.append(drawn("path", { d, fill: "none", ...strokeOf(look) }));
  }
  const cursor = drawn("path", { class: "cursor" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const share = (pointerIn(svg, event)[0] - left) / (right - left);
    choose(Math.round(Math.min(Math.max(share, 0), 1) * last));
  });
  box.replaceChildren(svg);
  return (step) => cursor.setAttribute("d", `M${x.place(step).toFixed(1)} ${top}V${bottom}`);
}

function pathOf(points) {
  let pen = "M";
  return points.map((point) => {
    const piece = point ? `${pen}${point.join(" ")}` : "";
    pen = point ? "L" : "M";
    return piece;
  }).join("");
}

function bandOf(low, high) {
  const both = low.map((point, place) => (point && high[place] ? [point, high[place]] : null));
  const runs = [[]];
  for (const pair of both) {
    if (pair) runs.at(-1).push(pair);
    else runs.push([]);
  }
  return runs.filter((run) => run.length).map((run) => {
    const back = [...run].reverse();
    return `${pathOf([...run.map(([point]) => point), ...back.map(([, point]) => point)])}Z`;
  }).join("");
}

// A quantity that is not recorded at every step keeps its last value.
function readings(panels, looks, step) {
  const lines = panels.flatMap((panel) => panel.lines);
  const arms = new Map(lines.map((line) => [line.label, line.arm]));
  const head = ["", ...panels.map((panel) => panel.label)];
  const rows = [...arms].map(([label, arm]) => {
    const sample = drawn("path", { d: "M0 4H26", ...strokeOf(looks[arm] ?? looks.neutral) });
    const swatch = drawn("svg", { class: "swatch", viewBox: "0 0 26 8" }, sample);
    const cells = panels.map((panel) => {
      const line = panel.lines.find((other) => other.label === label);
      const place = panel.steps.findLastIndex((recorded) => recorded <= step);
      if (!line || place < 0 || line.middle[place] === null) return element("td", {}, "–");
      const ends = [line.low[place], line.high[place]].map((end) => written(end, 3)).join(", ");
      return element("td", {}, `${written(line.middle[place], 3)} [${ends}]`);
    });
    return element("tr", {}, element("th", { scope: "row" }, swatch, label), ...cells);
  });
  return [element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text))), ...rows];
}
