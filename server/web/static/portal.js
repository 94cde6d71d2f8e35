// What a browser adds to a page that already works: copy buttons, the warning about a secret, focus on what is wrong.
"use strict";

// The secret that the page shows once, until it was copied or saved.
let uncopied = document.querySelector("[data-secret]");

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure connection a browser has no clipboard: take the way that it always had.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) {
      say(button, "Select the text to copy it");
      return;
    }
  }
  say(button, "Copied");
  settle(button);
}

function save(button) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([button.dataset.save + "\n"], { type: "text/plain" }));
  link.download = button.dataset.name;
  link.click();
  URL.revokeObjectURL(link.href);
  say(button, "Saved");
  settle(button);
}

function settle(button) {
  if (uncopied && uncopied.contains(button)) uncopied = null;
}

// Say on the button, and to screen readers, what came of it; then show the old words again.
function say(button, words) {
  const label = button.querySelector("span");
  button.dataset.label ??= label.textContent;
  label.textContent = words;
  label.setAttribute("role", "status");
  button.classList.add("is-done");
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    label.textContent = button.dataset.label;
    label.removeAttribute("role");
    button.classList.remove("is-done");
  }, 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-save]");
  if (button) button.dataset.copy === undefined ? save(button) : copy(button);
  // A menu closes when something else is chosen.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

window.addEventListener("beforeunload", (event) => {
  if (uncopied) event.preventDefault();
});

// Nothing is cut: a long text says how long it is, and when it is too long.
function count(area) {
  const most = Number(area.dataset.most);
  area.counter ??= area.parentElement.appendChild(Object.assign(document.createElement("p"), { className: "counter" }));
  const written = [...area.value].length;
  area.counter.textContent = `${written.toLocaleString("en")} of ${most.toLocaleString("en")} characters`;
  area.counter.classList.toggle("is-over", written > most);
}

for (const area of document.querySelectorAll("textarea[data-most]")) count(area);
document.addEventListener("input", (event) => event.target.matches("textarea[data-most]") && count(event.target));

// What scrolls sideways can be reached and named without a mouse.
function openScrollers() {
  for (const box of document.querySelectorAll(".table:not([tabindex])")) {
    if (box.scrollWidth <= box.clientWidth) continue;
    const heading = box.querySelector("caption") ?? box.closest("section")?.querySelector("h2, h3") ?? document.querySelector("h1");
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `Table: ${heading?.textContent.trim() ?? "scrolls"}`);
  }
}

// On a phone the places scroll: those that we are in come into view.
for (const here of document.querySelectorAll(".places [aria-current], nav.actions [aria-current]")) {
  const row = here.closest("ul, nav");
  row.scrollLeft = here.getBoundingClientRect().left - row.getBoundingClientRect().left - 24;
}

openScrollers();
window.addEventListener("resize", openScrollers);
document.getElementById("summary")?.focus();
