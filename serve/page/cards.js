/** The list of cards: one picture each, and the keys that move between them. */

import { WORDS, number, pValue } from "./words.js";

const list = document.getElementById("cards");
const template = document.getElementById("card");

/** The card of a new item, in the list. */
export function addCard(item) {
  item.card = template.content.firstElementChild.cloneNode(true);
  item.card.id = `card-${item.id}`;
  const thumb = item.card.querySelector("img");
  thumb.addEventListener("error", () => { thumb.hidden = true; });
  thumb.src = item.url;
  drawCard(item);
  list.append(item.card);
}

/** Write the item's state on its card. */
export function drawCard(item) {
  const { card, result } = item;
  const part = (name) => card.querySelector(`.${name}`);
  card.dataset.status = item.status;
  part("name").textContent = item.name;
  part("verdict").textContent = WORDS[item.status];
  part("score").textContent = result ? `${number(result.score)} / ${number(result.threshold)}` : "";
  part("said").textContent = result ? summary(result) : item.note;
  part("routes").textContent = result ? routes(result) : "";
  part("bar").hidden = !result;
  if (result) drawBar(part("bar"), result);
  // A defect shows at a glance; so does a format that the browser cannot draw itself.
  const thumb = card.querySelector("img");
  if (item.heatUrl && (item.status === "anomalous" || thumb.hidden)) {
    thumb.hidden = false;
    thumb.src = item.heatUrl;
  }
  const heard = result
    ? `score ${number(result.score)}, threshold ${number(result.threshold)}, ${summary(result)}`
    : item.note;
  card.setAttribute("aria-label", [item.name, WORDS[item.status], heard].filter(Boolean).join(", "));
}

const unbroken = (text) => text.replaceAll(" ", "\u00a0");

const summary = (result) =>
  [result.category, `p ${pValue(result.p_value)}`, `expert ${result.expert}`, `model ${result.modelVersion}`]
    .map(unbroken).join("\u00a0· ");

const routes = (result) =>
  result.routing.length
    ? `closest: ${result.routing.map((route) => unbroken(`${route.category} ${route.distance.toFixed(2)}`)).join(", ")}`
    : "product given, not routed";

/** The bar's middle is the threshold, its end twice that: bars of different products compare. */
export function drawBar(bar, { score, threshold }) {
  const share = threshold > 0 ? Math.min(Math.max(score / threshold / 2, 0), 1) : 0;
  bar.querySelector(".fill").style.setProperty("inline-size", `${(100 * share).toFixed(1)}%`);
}

/** Mark one card as the selected one, the only one in the tab order. */
export function markSelected(item, items) {
  for (const other of items) {
    other.card.setAttribute("aria-selected", other === item);
    other.card.tabIndex = other === item ? 0 : -1;
  }
}

/** `onSelect(card)` after an arrow key, `onOpen(card)` after a click (byKey false), Enter or Space (byKey true). */
export function listenForCards({ onSelect, onOpen }) {
  list.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) onOpen(card, { byKey: false });
  });
  list.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      onOpen(card, { byKey: true });
      return;
    }
    const next = neighbour(card, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
    onSelect(next);
  });
}

function neighbour(card, key) {
  const cards = [...list.children].filter((other) => !other.hidden);
  const columns = cards.filter((other) => other.offsetTop === cards[0].offsetTop).length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -Infinity, End: Infinity };
  const step = steps[key];
  if (step === undefined) return null;
  const target = cards.indexOf(card) + step;
  if (Number.isFinite(step)) return cards[target];
  return cards[step < 0 ? 0 : cards.length - 1];
}

/** Put the cards into this order and show only those; whoever has the focus keeps it. */
export function arrange(items, isShown) {
  const focused = document.activeElement;
  for (const item of items) item.card.hidden = !isShown(item);
  if (items.some((item, place) => list.children[place] !== item.card)) {
    list.replaceChildren(...items.map((item) => item.card));
    if (list.contains(focused)) focused.focus({ preventScroll: true });
  }
}
