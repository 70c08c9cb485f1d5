for (const field of document.querySelectorAll("[data-filter]")) {
  const items = [...document.querySelectorAll(field.dataset.filter + " > li")];
  const status = document.getElementById(field.getAttribute("aria-describedby"));
  field.closest("[hidden]").hidden = false;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const item of items) {
      item.hidden = !words.every((word) => item.dataset.words.includes(word));
      shown += !item.hidden;
    }
    status.textContent = `${shown} of ${items.length}`;
  });
  field.addEventListener("keydown", (event) => {
    const first = items.find((item) => !item.hidden);
    if (event.key === "Enter" && first) {
      event.preventDefault();
      first.querySelector("button").click();
    }
  });
}
// Browsers offer the clipboard to https and localhost only.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.querySelector("span");
    const before = label.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        label.textContent = "Copied";
      } catch {
        source.closest("details").open = true;
        getSelection().selectAllChildren(source);
        label.textContent = "Selected";
      }
      setTimeout(() => { label.textContent = before; }, 2000);
    });
  }
}
