// Analytics: the numbers of a day under the pointer or the arrow keys; a choice is shown at once.
"use strict";

for (const chart of document.querySelectorAll("[data-chart]")) {
  const days = [...chart.querySelectorAll(".day")];
  const readout = chart.closest("section").querySelector("[data-readout]");
  let chosen = -1;

  const choose = (number) => {
    days[chosen]?.classList.remove("chosen");
    chosen = number;
    const day = days[chosen];
    day?.classList.add("chosen");
    readout.textContent = day?.dataset.words ?? "";
  };

  const show = (day) => {
    const [place, view] = [day.querySelector(".place").getBoundingClientRect(), chart.getBoundingClientRect()];
    if (place.left < view.left) chart.scrollLeft -= view.left - place.left;
    if (place.right > view.right) chart.scrollLeft += place.right - view.right;
  };

  let byKeys = false; // a pointer that lies still chooses nothing, even if the chart moves below it
  const point = (event) => {
    const number = days.indexOf(event.target.closest(".day"));
    if (number >= 0 && number !== chosen) choose(number);
  };
  chart.addEventListener("pointerover", (event) => byKeys || point(event));
  for (const moved of ["pointermove", "pointerdown"]) {
    chart.addEventListener(moved, (event) => {
      byKeys = false;
      point(event);
    });
  }
  chart.addEventListener("keydown", (event) => {
    const goes = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: days.length - 1 }[event.key];
    if (goes === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    byKeys = true;
    const first = chosen < 0 ? days.length - 1 : goes; // the latest is what one looks for
    choose(Math.min(Math.max(first, 0), days.length - 1));
    show(days[chosen]);
  });
  chart.scrollLeft = chart.scrollWidth;
}

for (const choice of document.querySelectorAll("[data-sends]")) {
  choice.form.querySelector("button").hidden = true;
  choice.addEventListener("change", () => choice.form.requestSubmit());
}

// A definition that is in the way goes with Esc, until the pointer leaves it.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const each of document.querySelectorAll(".kpi:hover, .kpi:focus-within")) {
    each.classList.add("quiet");
    each.querySelector(".ask").open = false;
  }
});
for (const card of document.querySelectorAll(".kpi")) {
  const again = () => card.classList.remove("quiet");
  card.addEventListener("pointerleave", again);
  card.addEventListener("focusout", again);
}

// The workspace's time zone: the one of this device is a click away, in a form that was refused as well.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
function offerZone() {
  const own = document.querySelector("[data-own-zone]");
  if (!own || !zone) return;
  own.textContent = `Use this device's: ${zone}`;
  own.hidden = false;
  own.onclick = () => {
    document.getElementById("timezone").value = zone;
  };
}
offerZone();
document.addEventListener("htmx:afterSettle", offerZone);
