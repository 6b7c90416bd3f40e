// Paper: the print button, which css/paper.css only shows where there is a script to press it; and the dialog that opens
// by itself where somebody asked for paper on the page before.
document.querySelector("[data-print]").addEventListener("click", () => print());

if (document.querySelector("[data-print-now]")) {
  // Once: neither Reload nor Back asks for it again.
  const address = new URL(location);
  address.searchParams.delete("print");
  history.replaceState(null, "", address);
  addEventListener("load", () => print());
}
