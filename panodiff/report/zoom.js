// A click on a picture, or Enter on it, shows it as large as the window allows; a click or Escape closes it.
const box = document.querySelector("dialog.zoomed");
const big = box.querySelector("img");
const caption = box.querySelector("p");
for (const button of document.querySelectorAll("button.zoom")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    big.src = small.src;
    big.alt = small.alt;
    big.className = small.className;
    caption.textContent = small.alt;
    box.showModal();
  });
}
box.addEventListener("click", () => box.close());

// On paper nothing can be opened: print what is folded away too.
const folded = document.querySelectorAll("details:not([open])");
addEventListener("beforeprint", () => folded.forEach((details) => (details.open = true)));
addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
