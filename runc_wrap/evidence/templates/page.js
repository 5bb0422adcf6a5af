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
