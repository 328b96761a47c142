// Unfolding a claim draws its seeds and its figure; a link to a claim unfolds it.

function setUpClaims(filter) {
  // toggle events do not bubble
  const table = document.querySelector(".verdicts");
  table.addEventListener("toggle", (event) => complete(event.target), { capture: true });

  const reveal = () => {
    const [name, query] = decoded(location.hash.slice(1)).split(/\?(.*)/s);
    if (name === "Verdicts" && query !== undefined) {
      filter.restore(query);
      document.getElementById("Verdicts").scrollIntoView();
    }
    const row = document.getElementById(name);
    for (const other of document.querySelectorAll("tr.linked")) other.classList.remove("linked");
    if (!row?.dataset.verdict) return;
    if (row.hidden || row.parentElement.hidden) filter.showAll();
    const details = row.querySelector("details");
    details.classList.remove("bare");
    complete(details);
    details.open = true;
    row.classList.add("linked");
    row.scrollIntoView();
    details.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  addEventListener("load", reveal); // then the browser has gone to the address itself
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function complete(details) {
  const values = details.querySelector(".values");
  if (values) showSeeds(values);
  const link = details.querySelector("a.figure:not(.shown)");
  if (details.classList.contains("bare")) return;
  const figure = link && document.getElementById(decoded(link.hash.slice(1)));
  const plate = figure?.querySelector(".plate");
  const svg = plate?.querySelector("svg");
  if (!svg) return;
  link.classList.add("shown");
  // a second picture in the page's bytes is not needed: this one shows the first
  svg.id ||= `${link.hash.slice(1)}:svg`;
  const copy = drawn("svg", {
    viewBox: svg.getAttribute("viewBox"), role: "img", style: svg.getAttribute("style"),
    "aria-label": svg.getAttribute("aria-label"),
  }, drawn("use", { href: `#${svg.id}`, width: "100%", height: "100%" }));
  link.after(element("div", {
    class: "plate", tabindex: 0, role: "region", "aria-label": plate.getAttribute("aria-label"),
  }, copy));
}
