"use strict";
const workloads = [...document.querySelectorAll(".workload")];
const input = Object.assign(document.createElement("input"), { type: "search", placeholder: "Filter" });
input.setAttribute("aria-label", "Filter");
document.querySelector("main").prepend(input);
input.addEventListener("input", () => {
  const words = input.value.toLowerCase().split(/\s+/);
  for (const one of workloads) {
    const text = one.textContent.toLowerCase();
    one.hidden = !words.every((word) => text.includes(word));
  }
});
