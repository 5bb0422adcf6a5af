"use strict";
for (const box of document.querySelectorAll(".paste")) {
  const code = box.querySelector("code");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      done = "Selected";
    }
    button.textContent = done;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  box.querySelector("figcaption").append(button);
}
const unfold = () => {
  const fold = document.getElementById(location.hash.slice(1))?.querySelector(".fold");
  if (fold) fold.open = true;
};
addEventListener("hashchange", unfold);
unfold();
const rows = [...document.querySelectorAll(".workload, .quiet tbody tr")];
if (rows.length > 1) {
  const box = document.createElement("p");
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("output");
  box.className = "filter";
  input.type = "search";
  label.append("Filter: ", input);
  box.append(label, " ", count);
  document.querySelector("main").prepend(box);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows.filter((row, at) => {
      row.hidden = !words.every((word) => texts[at].includes(word));
      return !row.hidden;
    });
    for (const link of document.querySelectorAll(".matrix a")) {
      const row = document.getElementById(link.getAttribute("href").slice(1));
      link.classList.toggle("out", Boolean(row?.hidden));
    }
    for (const calm of document.querySelectorAll(".calm")) {
      calm.open = words.length > 0 && calm.querySelector("tbody tr:not([hidden])") !== null;
    }
    count.textContent = words.length ? `${shown.length} of ${rows.length}` : "";
  });
}
