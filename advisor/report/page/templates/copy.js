// Copy buttons: shown only where they work.
"use strict";
function selectText(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}
async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // a file opened from disk may not use the clipboard: the old command still works there
    selectText(code);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest(".copy");
  if (button) copy(button);
});
function showCopyButtons(root) {
  for (const button of root.querySelectorAll(".copy[hidden]")) button.hidden = false;
}
showCopyButtons(document);
