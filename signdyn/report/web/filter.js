// Which claims are shown and in what order; the address tells it, so that it can be shared.

const VERDICTS = ["supported", "refuted", "inconclusive"];

function setUpFilter() {
  const form = document.querySelector(".filter");
  const table = document.querySelector(".verdicts");
  const groups = [...table.tBodies];
  const rows = groups.flatMap((group) => [...group.rows].filter((row) => row.dataset.verdict));
  const home = new Map(rows.map((row) => [row, row.parentElement]));
  const summaries = new Map(rows.map((row) => [row, row.querySelector("summary")]));
  const words = new Map();
  for (const [row, summary] of summaries) {
    words.set(row, `${row.id} ${summary.textContent}`.toLowerCase());
    summary.dataset.of = row.id.split("/")[0];
  }
  const byVerdict = VERDICTS.map((verdict) => {
    const title = element("th", { colspan: 5, scope: "rowgroup", role: "rowheader" }, verdict);
    const head = element("tr", { class: "group", role: "row" }, title);
    return element("tbody", { role: "rowgroup" }, head);
  });
  let sorted = "experiment";

  const sort = (wanted) => {
    if (wanted === sorted) return;
    sorted = wanted;
    for (const row of rows) {
      const verdict = VERDICTS.indexOf(row.dataset.verdict);
      (wanted === "verdict" ? byVerdict[verdict] : home.get(row)).append(row);
    }
    for (const group of [...table.tBodies]) group.remove();
    table.append(...(wanted === "verdict" ? byVerdict : groups));
    table.classList.toggle("mixed", wanted === "verdict");
  };

  const apply = () => {
    const chosen = new FormData(form);
    const verdicts = chosen.getAll("verdict");
    const asked = chosen.get("words").toLowerCase().split(/\s+/);
    sort(chosen.get("sort"));
    for (const row of rows)
      row.hidden = !verdicts.includes(row.dataset.verdict) ||
        !["", home.get(row).dataset.experiment].includes(chosen.get("experiment")) ||
        !asked.every((word) => words.get(row).includes(word));
    for (const group of table.tBodies)
      group.hidden = ![...group.rows].some((row) => row.dataset.verdict && !row.hidden);
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").value = `${shown} of ${rows.length} claims`;
  };

  const address = () => {
    const chosen = new FormData(form);
    const asked = new URLSearchParams();
    for (const name of ["experiment", "words", "sort"]) {
      const value = chosen.get(name);
      if (value !== "" && value !== "experiment") asked.set(name, value);
    }
    const verdicts = chosen.getAll("verdict");
    if (verdicts.length < VERDICTS.length) asked.set("verdict", verdicts.join("+"));
    return asked.size ? `#Verdicts?${asked}` : "#Verdicts";
  };

  const restore = (query) => {
    const asked = new URLSearchParams(query);
    const verdicts = asked.get("verdict")?.split("+") ?? VERDICTS;
    for (const box of form.elements.verdict) box.checked = verdicts.includes(box.value);
    form.elements.words.value = asked.get("words") ?? "";
    for (const name of ["experiment", "sort"]) {
      const field = form.elements[name];
      const wanted = asked.get(name);
      const known = [...field.options].some((option) => option.value === wanted);
      field.value = known ? wanted : field.options[0].value;
    }
    apply();
  };

  const changed = () => {
    apply();
    history.replaceState(null, "", address());
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", changed);
  form.addEventListener("reset", () => setTimeout(changed)); // the fields change after the event
  form.elements.unfold.addEventListener("click", () => fold(true));
  form.elements.fold.addEventListener("click", () => fold(false));
  // Hundreds of claims at once are unfolded without their figures, which the sections show.
  const fold = (open) => {
    for (const row of rows) {
      const details = row.querySelector("details");
      if (open && (row.hidden || details.open)) continue;
      details.classList.toggle("bare", open);
      details.open = open;
    }
  };
  form.hidden = false;
  apply();
  return { restore, showAll: () => restore("") };
}
