// Playing training step by step: a choice of views, a slider, and a button where motion is welcome.

const FRAME = 90; // milliseconds
const SINGLE = 20; // the first steps are played one by one, later ones faster and faster

function setUpStepper(figure) {
  const { views, looks } = JSON.parse(figure.dataset.steps);
  if (!views.length) return;
  const title = figure.querySelector("h3").textContent;
  const range = { type: "range", min: 0, value: 0, "aria-label": `Step, ${title}` };
  const slider = element("input", range);
  const counter = element("output");
  const play = element("button", { type: "button", class: "play" }, "Play");
  const options = views.map((view, place) => element("option", { value: place }, view.label));
  const select = element("select", {}, ...options);
  const choice = element("label", {}, "View ", select);
  const slide = element("label", { class: "slide" }, "Step ", slider);
  const controls = element("div", { class: "controls" }, play, slide, counter);
  if (views.length > 1) controls.prepend(choice);
  const stage = figure.querySelector(".stage");
  stage.before(controls);

  let shown;
  let timer = 0;
  const show = (step) => {
    slider.value = step;
    counter.value = `${slider.value} of ${shown.last}`;
    slider.setAttribute("aria-valuetext", `step ${slider.value} of ${shown.last}`);
    shown.show(Number(slider.value));
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  const change = () => {
    stop();
    const view = views[select.value];
    shown = view.walks.length ? walksOf(view, looks) : linesOf(view, looks);
    shown.onChoose((step) => {
      stop();
      show(step);
    });
    slider.max = shown.last;
    stage.replaceChildren(shown.node);
    shown.draw();
    show(0);
  };
  play.addEventListener("click", () => {
    if (timer) {
      stop();
      return;
    }
    if (Number(slider.value) >= shown.last) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      show(Number(slider.value) + Math.max(1, Math.floor(Number(slider.value) / SINGLE)));
      if (Number(slider.value) >= shown.last) stop();
    }, FRAME);
  });
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  select.addEventListener("change", change);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const welcome = () => {
    stop();
    play.hidden = still.matches;
  };
  still.addEventListener("change", welcome);
  welcome();
  change();
  let width = stage.clientWidth;
  new ResizeObserver(() => {
    if (stage.clientWidth === width) return;
    width = stage.clientWidth;
    shown.draw();
    shown.show(Number(slider.value));
  }).observe(stage);
}
