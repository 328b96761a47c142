// The page is complete without this: it filters the table, and opens a claim that is linked to.
(() => {
  const form = document.querySelector(".filter");
  const groups = [...document.querySelectorAll(".verdicts tbody")];

  const apply = () => {
    const chosen = new FormData(form);
    const verdicts = chosen.getAll("verdict");
    const experiment = chosen.get("experiment");
    let shown = 0;
    let all = 0;
    for (const group of groups) {
      let rows = 0;
      for (const row of group.querySelectorAll("tr[data-verdict]")) {
        row.hidden = !verdicts.includes(row.dataset.verdict);
        rows += row.hidden ? 0 : 1;
        all += 1;
      }
      group.hidden = rows === 0 || (experiment !== "" && experiment !== group.dataset.experiment);
      shown += group.hidden ? 0 : rows;
    }
    form.querySelector("output").value = `${shown} of ${all} claims`;
  };

  const reveal = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = row?.querySelector?.(".claim details");
    if (!details || row.tagName !== "TR") return;
    if (row.hidden || row.parentElement.hidden) {
      form.reset();
      apply();
    }
    details.open = true;
    row.scrollIntoView();
  };

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });

  form.hidden = false;
  form.addEventListener("change", apply);
  addEventListener("hashchange", reveal);
  apply();
  reveal();
})();
