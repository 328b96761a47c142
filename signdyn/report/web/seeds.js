// The values of a claim's seeds, which stand in the page as text: a strip of dots and a table.

function showSeeds(text) {
  const words = text.textContent.split(" ");
  const values = words.map(Number);
  const name = text.dataset.seeds === undefined ? "value" : "seed";
  const cells = words.map((word, place) =>
    element("li", {}, element("span", {}, `${place}`), word.replace("-", "−")));
  const grid = element("ol", { class: "grid", "aria-label": `Value of each ${name}` }, ...cells);
  const parts = [element("p", {}, `${name} and value:`), grid];
  const seen = values.map((_, place) => place).filter((place) => Number.isFinite(values[place]));
  if (new Set(seen.map((place) => values[place])).size > 1) {
    const tell = (place) => `${name} ${place}: ${words[place].replace("-", "−")}`;
    parts.unshift(...strip(text.dataset, values, seen, cells, tell));
  }
  text.replaceWith(...parts);
}

function numbers(text) {
  return (text ?? "").split(" ").map((word) => (word === "" ? NaN : Number(word)));
}

// Dots over their interval and between the rule's bounds; arrow keys go from dot to dot.
function strip(data, values, seen, cells, tell) {
  const [low, effect, high] = numbers(data.interval);
  const bounds = numbers(data.bounds);
  const span = [...seen.map((place) => values[place]), low, high].filter(Number.isFinite);
  const near = bounds.filter((bound) => Number.isFinite(bound) && isNear(bound, span));
  const { place: x, ticks } = scaled([...span, ...near], 12, 508, data.kind === "ratio");
  const sorted = [...seen].sort((a, b) => values[a] - values[b]);
  const rows = [];
  const at = sorted.map((place) => {
    const left = x(values[place]);
    let row = rows.findIndex((end) => end + 7 <= left);
    if (row < 0) row = rows.length;
    rows[row] = left;
    return [left, row];
  });
  const floor = 14 + 7 * Math.min(rows.length, 8);
  const centers = at.map(([left, row]) => [left, floor - 8 - 7 * (row % 8)]);
  const dots = centers.map(([cx, cy]) => drawn("circle", { cx: cx.toFixed(1), cy, r: 3 }));
  const line = (kind, value) =>
    drawn("path", { class: kind, d: `M${x(value).toFixed(1)} 2V${floor}` });
  const svg = drawn("svg", {
    class: "strip", viewBox: `0 0 520 ${floor + 18}`, tabindex: 0, role: "slider",
    "aria-label": "Values of the seeds, in ascending order",
    "aria-valuemin": 1, "aria-valuemax": sorted.length, "aria-valuenow": 1,
  });
  if (Number.isFinite(low) && Number.isFinite(high))
    svg.append(drawn("rect", {
      class: "band", x: x(low), y: 2, height: floor - 2, width: Math.max(x(high) - x(low), 1),
    }));
  if (Number.isFinite(effect)) svg.append(line("estimate", effect));
  svg.append(...near.map((bound) => line("bound", bound)));
  svg.append(drawn("path", { class: "axis", d: `M4 ${floor}H516` }), ...dots);
  svg.append(...ticks.map((tick) => drawn("text", {
    x: x(tick).toFixed(1), y: floor + 13, "text-anchor": "middle",
  }, written(tick))));
  const idle = `${sorted.length} dots; shaded: the interval; dashed: the rule's bounds.`;
  const reading = element("p", { class: "reading" }, idle);
  let chosen = -1;
  const choose = (order) => {
    for (const part of [dots[chosen], cells[sorted[chosen]]]) part?.classList.remove("chosen");
    chosen = order;
    for (const part of [dots[chosen], cells[sorted[chosen]]]) part?.classList.add("chosen");
    reading.textContent = order < 0 ? idle : tell(sorted[order]);
    svg.setAttribute("aria-valuenow", Math.max(order, 0) + 1);
    svg.setAttribute("aria-valuetext", reading.textContent);
  };
  svg.addEventListener("pointermove", (event) => choose(nearest(centers, pointerIn(svg, event))));
  svg.addEventListener("pointerleave", () => choose(-1));
  svg.addEventListener("blur", () => choose(-1));
  svg.addEventListener("focus", () => choose(0));
  svg.addEventListener("keydown", (event) => {
    const to = {
      ArrowRight: chosen + 1, ArrowUp: chosen + 1, ArrowLeft: chosen - 1, ArrowDown: chosen - 1,
      Home: 0, End: dots.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(Math.min(Math.max(to, 0), dots.length - 1));
  });
  return [svg, reading];
}

// A bound that is far from all values would squeeze them into one dot.
function isNear(bound, span) {
  const low = Math.min(...span);
  const high = Math.max(...span);
  return bound > low - 2 * (high - low) && bound < high + 2 * (high - low);
}
