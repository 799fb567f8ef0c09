/** The large view: picture, heat map over it, a slider between them, and every figure of the verdict. */

import { drawBar } from "./cards.js";
import { WORDS, element, number, pValue } from "./words.js";

const part = (id) => document.getElementById(id);
const view = part("view");
const stage = part("stage");
const frame = stage.firstElementChild;
/** Wide enough for the view to stand beside the cards; below, it covers them as a modal dialog. */
const beside = window.matchMedia("(min-width: 64rem)");

let shown = null;

/** `onStep(-1 | 1)`: show the neighbour; `onClose()`: give the focus back. */
export function listenForView({ onStep, onClose }) {
  const close = () => { hideView(); onClose(); };
  part("view-previous").addEventListener("click", () => onStep(-1));
  part("view-next").addEventListener("click", () => onStep(1));
  part("view-close").addEventListener("click", close);
  view.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  view.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !view.matches(":modal")) close();
    if (event.target.matches("input, #stage")) return; // the sliders and the zoomed picture use the arrows
    if (event.key === "ArrowLeft") onStep(-1);
    if (event.key === "ArrowRight") onStep(1);
  });
  // A format that the browser cannot draw still has its heat map.
  part("view-picture").addEventListener("error", (event) => { event.target.hidden = true; });
  part("fade").addEventListener("input", drawFade);
  part("zoom").addEventListener("input", drawZoom);
  beside.addEventListener("change", () => { if (view.open) { view.close(); openDialog(); } });
}

export const isViewBeside = () => beside.matches;
export const shownItem = () => shown;

/** Show an item; `focus` puts the focus on the slider. */
export function showView(item, { focus }) {
  shown = item;
  drawView();
  if (!view.open) openDialog();
  if (focus) part("fade").focus();
}

export function hideView() {
  shown = null;
  if (view.open) view.close();
  for (const id of ["view-picture", "view-heat"]) part(id).removeAttribute("src");
}

function openDialog() {
  const focused = document.activeElement;
  if (beside.matches) {
    view.show(); // takes the focus, which stays with the cards here
    focused.focus({ preventScroll: true });
  } else {
    view.showModal();
  }
}

/** Write the shown item's state into the view. */
export function drawView() {
  const { name, url, heatUrl, result, status } = shown;
  part("view-name").textContent = name;
  setSource(part("view-picture"), url, name);
  setSource(part("view-heat"), heatUrl, `${name} with its heat map`);
  part("fade").disabled = !heatUrl;
  view.dataset.status = status;
  part("view-facts").replaceChildren(...(result ? facts(shown) : [verdictLine(status, shown.note)]));
  drawFade();
}

function setSource(image, url, alt) {
  image.alt = alt;
  if (image.getAttribute("src") === url) return;
  image.hidden = !url;
  if (url) image.src = url;
  else image.removeAttribute("src");
}

function drawFade() {
  part("view-heat").style.setProperty("opacity", part("fade").value / 100);
  part("fade-now").textContent = `${part("fade").value} %`;
}

/** Zoom about the middle of what is seen. */
function drawZoom() {
  const x = (stage.scrollLeft + stage.clientWidth / 2) / frame.clientWidth;
  const y = (stage.scrollTop + stage.clientHeight / 2) / frame.clientHeight;
  frame.style.setProperty("--zoom", part("zoom").value);
  stage.scrollTo(x * frame.clientWidth - stage.clientWidth / 2, y * frame.clientHeight - stage.clientHeight / 2);
  part("zoom-now").textContent = `${part("zoom").value} ×`;
}

const verdictLine = (status, text) =>
  element("p", { class: "found" }, element("span", { class: "verdict" }, WORDS[status]), element("span", {}, text));

function facts({ result, status }) {
  const bar = element("div", { class: "bar" }, element("i", { class: "fill" }), element("i", { class: "mark" }));
  drawBar(bar, result);
  const rows = [
    ["Score", number(result.score)],
    ["Threshold", number(result.threshold)],
    ["p-value", pValue(result.p_value)],
    [status === "unknown" ? "Closest class" : "Category", result.category],
    ["Expert", result.expert],
    ["Model version", result.modelVersion],
  ];
  const list = element("dl", {}, ...rows.map(([term, value]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, String(value)))));
  return [verdictLine(status, meaning(status, result)), bar, list, routeTable(result)];
}

function meaning(status, result) {
  if (status === "unknown") return `Not a class that was taught; closest is ${result.category}. A person must look.`;
  return `The score is ${status === "anomalous" ? "over" : "within"} the threshold of ${result.category}.`;
}

function routeTable({ routing }) {
  if (!routing.length) return element("p", { class: "muted" }, "The product was given, so the picture was not routed.");
  const head = ["Closest classes", "Expert", "Distance"].map((title) => element("th", { scope: "col" }, title));
  const rows = routing.map(({ category, expert, distance }) => element("tr", {},
    element("th", { scope: "row" }, category), element("td", {}, String(expert)), element("td", {}, number(distance))));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}
