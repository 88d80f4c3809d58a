"use strict";

// Commands name the address under which the reader sees this page.
const address = location.origin + location.pathname; // without the name and password that may stand in it
const here = new URL(document.documentElement.dataset.root ?? ".", address).href.replace(/\/$/, "");
for (const origin of document.querySelectorAll(".origin")) {
  origin.textContent = here;
}

if (navigator.clipboard) {
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.closest(".command").querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}
