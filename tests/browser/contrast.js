// Body of a function: returns every text that is seen and has less contrast than WCAG AA asks for,
// 4.5 to 1, with its colors, and how many texts were looked at.

const channels = (color) => {
  const numbers = color.match(/[\d.]+/g).map(Number);
  const scale = color.startsWith("color(") ? 255 : 1;
  return [...numbers.slice(0, 3).map((value) => value * scale), numbers[3] ?? 1];
};
const over = ([r, g, b, a], ground) =>
  [r, g, b].map((value, place) => value * a + ground[place] * (1 - a));
const luminance = (color) => {
  const [r, g, b] = color.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};

// What lies behind an element: the colors of its ancestors, one over the other.
const grounds = new Map();
const groundOf = (element) => {
  if (!element) return [255, 255, 255];
  if (!grounds.has(element)) {
    const own = channels(getComputedStyle(element).backgroundColor);
    grounds.set(element, over(own, groundOf(element.parentElement)));
  }
  return grounds.get(element);
};
const opacityOf = (element) =>
  element ? Number(getComputedStyle(element).opacity) * opacityOf(element.parentElement) : 1;

const faint = [];
let count = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  const parent = node.parentElement;
  if (!node.data.trim() || ["SCRIPT", "STYLE", "OPTION"].includes(parent.tagName)) continue;
  if (!parent.checkVisibility({ visibilityProperty: true })) continue;
  count += 1;
  const style = getComputedStyle(parent);
  const isDrawn = parent instanceof SVGElement;
  const ground = groundOf(parent);
  const ink = channels(isDrawn ? style.fill : style.color);
  ink[3] *= opacityOf(parent) * (isDrawn ? Number(style.fillOpacity) : 1);
  const [low, high] = [luminance(over(ink, ground)), luminance(ground)].sort((a, b) => a - b);
  const contrast = (high + 0.05) / (low + 0.05);
  if (contrast < 4.5)
    faint.push([node.data.trim().slice(0, 40), contrast.toFixed(2), ink.join(), ground.join()]);
}
return { count, faint };
