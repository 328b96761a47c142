// Paths of two weights over the contours of their loss, side by side, each up to the same step.

function walksOf(view, looks) {
  let choose = () => {};
  const walks = view.walks.map((walk) =>
    walkOf(walk, view.maps[walk.map], looks, (step) => choose(step)));
  return {
    node: element("div", { class: "walks" }, ...walks.map((walk) => walk.node)),
    last: Math.max(...view.walks.map((walk) => walk.loss.length - 1)),
    draw: () => {},
    show: (step) => walks.forEach((walk) => walk.show(step)),
    onChoose: (wanted) => { choose = wanted; },
  };
}

function walkOf(walk, map, looks, choose) {
  const [x0, x1, y0, y1] = map.box;
  const size = 240;
  const x = (value) => ((value - x0) / (x1 - x0)) * size;
  const y = (value) => size - ((value - y0) / (y1 - y0)) * size;
  const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, place) =>
    flat[2 * place] === null || flat[2 * place + 1] === null ? null
      : [x(flat[2 * place]).toFixed(1), y(flat[2 * place + 1]).toFixed(1)]);
  const points = pairs(walk.points);
  const [color] = looks[walk.arm] ?? looks.neutral;
  const [[goalX, goalY]] = pairs(map.minimum);
  const way = drawn("path", { class: "way", stroke: color });
  const here = drawn("circle", { r: 4, fill: color });
  const contours = map.contours.map((line) => pathOf(pairs(line))).join("");
  const svg = drawn("svg", {
    viewBox: `0 0 ${size} ${size}`,
    role: "img",
    "aria-label": `Path of ${walk.label}`,
  });
  svg.append(
    drawn("path", { class: "contour", d: contours }),
    drawn("path", { class: "ahead", stroke: color, d: pathOf(points) }),
    drawn("path", { class: "cursor", d: `M${goalX - 5} ${goalY}h10M${goalX} ${goalY - 5}v10` }),
    way,
    here,
  );
  const reading = element("p");
  svg.addEventListener("pointermove", (event) => {
    choose(nearest(points, pointerIn(svg, event)));
  });
  const show = (step) => {
    const place = Math.min(step, points.length - 1);
    way.setAttribute("d", pathOf(points.slice(0, place + 1)));
    here.setAttribute("visibility", points[place] ? "visible" : "hidden");
    if (points[place]) {
      here.setAttribute("cx", points[place][0]);
      here.setAttribute("cy", points[place][1]);
    }
    const facts = [
      `step ${place} of ${points.length - 1}: loss ${written(walk.loss[place])} nat`,
      `cosine of the turn ${written(walk.turns[place], 2)}`,
      `next update ${signsOf(walk.points, place)}`,
    ];
    reading.textContent = `${facts.join(", ")}. ${walk.note}`;
  };
  return { node: element("div", {}, element("h4", {}, walk.label), svg, reading), show };
}

function signsOf(flat, place) {
  const [x, y, nextX, nextY] = flat.slice(2 * place, 2 * place + 4);
  if (nextX === undefined || [x, y, nextX, nextY].includes(null)) return "none";
  const sign = (change) => (change > 0 ? "+" : change < 0 ? "−" : "0");
  return `(${sign(nextX - x)}, ${sign(nextY - y)})`;
}
