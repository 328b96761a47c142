// Dark, light, or as the system says; remembered where the browser lets a page remember.

function setUpTheme() {
  const label = document.querySelector(".theme");
  const select = label.querySelector("select");
  const root = document.documentElement;
  const apply = () => {
    if (select.value === "auto") delete root.dataset.theme;
    else root.dataset.theme = select.value;
  };
  try {
    select.value = localStorage.getItem("theme") ?? "auto";
  } catch {
    // a page from a file may have no storage
  }
  if (!select.value) select.value = "auto";
  select.addEventListener("change", () => {
    apply();
    try {
      localStorage.setItem("theme", select.value);
    } catch {
      // then the choice holds until the page is closed
    }
  });
  label.classList.add("ready");
  apply();
}
