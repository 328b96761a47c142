// Making elements, and writing numbers as the page does.

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

// Text goes in as text: nothing of the data is ever parsed as HTML.
function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// How an arm is drawn: color, dashes and width, as in all figures.
function strokeOf([color, dash, width]) {
  return {
    stroke: color,
    "stroke-width": width,
    "stroke-dasharray": dash.map((length) => length * width).join(" "),
  };
}

// Where a pointer is, in the units of a drawing, and which of some points lies nearest to it.
function pointerIn(svg, event) {
  const frame = svg.getBoundingClientRect();
  const { width, height } = svg.viewBox.baseVal;
  return [
    ((event.clientX - frame.left) / frame.width) * width,
    ((event.clientY - frame.top) / frame.height) * height,
  ];
}

function nearest(points, [x, y]) {
  const far = points.map((point) => (point ? Math.hypot(point[0] - x, point[1] - y) : Infinity));
  return far.indexOf(Math.min(...far));
}

function written(value, digits = 4) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6)
    ? value.toExponential(digits - 2).replace("e+", "e")
    : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

// A scale from values to pixels, with ticks; logarithmic where asked for and possible.
function scaled(values, from, to, wanted = false) {
  const known = values.filter((value) => Number.isFinite(value));
  const log = wanted && known.every((value) => value > 0);
  const bend = log ? Math.log10 : (value) => value;
  let low = bend(Math.min(...known));
  let high = bend(Math.max(...known));
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const place = (value) => from + ((bend(value) - low) / (high - low)) * (to - from);
  return { place, ticks: log ? powers(low, high) : round(low, high) };
}

function round(low, high) {
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: count }, (_, place) => (first + place) * step);
}

function powers(low, high) {
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1)
    for (const factor of high - low > 2 ? [1] : [1, 2, 5]) {
      const exponent = power + Math.log10(factor);
      if (exponent >= low - 1e-9 && exponent <= high + 1e-9) ticks.push(factor * 10 ** power);
    }
  return ticks;
}
