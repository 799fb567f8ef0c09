/** The inspection page: a session of pictures, each scored by the service and shown as a card. */

import { addCard, arrange, drawCard, listenForCards, markSelected } from "./cards.js";
import { downloadCsv } from "./csv.js";
import { isRange, missing, withDepth } from "./depth.js";
import { isPicture, listenForFiles } from "./intake.js";
import { currentModel, watchModel } from "./model.js";
import { Queue } from "./queue.js";
import { hasKey, score, useKey } from "./service.js";
import { drawView, hideView, isViewBeside, listenForView, showView, shownItem } from "./viewer.js";
import { count, element } from "./words.js";

const IN_FLIGHT = 4;
const VERDICTS = ["good", "anomalous", "unknown", "failed"];
const part = (id) => document.getElementById(id);

/** One item a picture: {id, file, depth, range, name, url, product, status, note, result, heatUrl, card, abort}. */
let items = [];
let lastId = 0;
let selected = null;
const queue = new Queue(scoreItem, { inFlight: IN_FLIGHT, onIdle: announceEnd });

// Pictures in and through the service

const needsDepth = () => currentModel()?.modalities.includes("depth") ?? false;

function addFiles(found) {
  const product = part("product").value;
  const pictures = needsDepth() ? withDepth(found) : found;
  const fresh = pictures.map(({ file, name, depth = null, range = null }) => ({
    id: ++lastId, file, depth, range, name, url: URL.createObjectURL(file), product, status: "waiting", note: "",
    result: null, heatUrl: null, abort: new AbortController(),
  }));
  if (!fresh.length) return announce("No pictures in there.");
  fresh.forEach(addCard);
  items.push(...fresh);
  if (!selected) select(fresh[0]);
  refresh();
  return queue.add(fresh);
}

async function scoreItem(item) {
  const { signal } = item.abort;
  const limitMb = currentModel()?.limits.max_request_mb ?? Infinity;
  change(item, { status: "scoring", note: "" });
  try {
    if (needsDepth() && missing(item)) throw new Error(missing(item));
    const { file, depth, range } = item;
    const sent = needsDepth() ? { file, depth, range } : { file };
    const size = Object.values(sent).reduce((sum, one) => sum + (one?.size ?? 0), 0);
    if (size > limitMb * 2 ** 20) throw new Error(`Larger than the ${limitMb} MB that the service takes.`);
    const { heatmap, ...result } = await score(sent, {
      category: item.product,
      signal,
      onWait: (problem, seconds) => change(item, { note: `${problem.message} (again in ${seconds} s)` }),
    });
    const heatUrl = heatmap && URL.createObjectURL(pngOf(heatmap));
    change(item, { status: result.verdict, note: "", result, heatUrl });
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status === 401) {
      change(item, { status: "waiting", note: "waiting for the key" });
      queue.pauseWith(item);
      askForKey();
    } else {
      change(item, { status: "failed", note: problem.message });
    }
  }
}

const pngOf = (base64) => new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: "image/png" });

function change(item, changes) {
  Object.assign(item, changes);
  drawCard(item);
  if (item === shownItem()) drawView();
  refresh();
}

function clear() {
  queue.clear();
  hideView();
  for (const item of items) {
    item.abort.abort();
    URL.revokeObjectURL(item.url);
    if (item.heatUrl) URL.revokeObjectURL(item.heatUrl);
  }
  items = [];
  selected = null;
  part("cards").replaceChildren();
  refresh();
  part("files").focus();
}

function tryAgain() {
  const failed = items.filter((item) => item.status === "failed");
  for (const item of failed) change(item, { status: "waiting", note: "" });
  queue.add(failed);
}

// Summary, filter and order: drawn once a frame, however many pictures changed

const howMany = (status) => items.filter((item) => item.status === status).length;

let isDue = false;

function refresh() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; draw(); });
}

function draw() {
  const totals = Object.fromEntries(VERDICTS.map((status) => [status, howMany(status)]));
  const done = VERDICTS.reduce((sum, status) => sum + totals[status], 0);
  for (const { value, nextElementSibling: text } of document.getElementsByName("show")) {
    text.firstElementChild.textContent = count(value === "all" ? items.length : totals[value]);
  }
  const show = document.querySelector("[name=show]:checked").value;
  const isShown = (item) => show === "all" || item.status === show;
  arrange(ordered(), isShown);
  keepSelectionShown(isShown);
  part("intake").classList.toggle("small", items.length > 0);
  part("tools").hidden = part("cards").hidden = !items.length;
  part("none").hidden = !items.length || items.some(isShown);
  part("again").hidden = !totals.failed;
  part("progress").max = items.length || 1;
  part("progress").value = done;
  part("progress").classList.toggle("done", done === items.length);
}

function ordered() {
  const keys = {
    score: ({ result }) => result.score,
    ratio: ({ result }) => result.score / result.threshold,
  };
  const key = keys[part("sort").value];
  if (!key) return items;
  const of = (item) => (item.result ? key(item) : -Infinity);
  return items.toSorted((a, b) => of(b) - of(a) || a.id - b.id);
}

// Selection and the large view

const itemOf = (card) => items.find((item) => item.card === card);

function select(item) {
  selected = item;
  markSelected(item, items);
}

/** The selected card is the way into the list by Tab: it must not be filtered away. */
function keepSelectionShown(isShown) {
  const first = ordered().find(isShown);
  if (!selected || !first || isShown(selected)) return;
  if (shownItem()) open(first, { focus: false });
  else select(first);
}

function open(item, { focus }) {
  select(item);
  showView(item, { focus });
}

function step(by) {
  const cards = [...part("cards").children].filter((card) => !card.hidden);
  const next = cards[cards.indexOf(selected.card) + by];
  if (!next) return;
  open(itemOf(next), { focus: false });
  next.scrollIntoView({ block: "nearest" });
}

// Key, announcements

function askForKey() {
  const form = part("key");
  if (!form.hidden) return;
  form.hidden = false;
  part("key-field").focus();
}

function announceEnd() {
  const totals = VERDICTS.map((status) => `${count(howMany(status))} ${status}`);
  if (items.length) announce(`All scored: ${totals.join(", ")}.`);
}

let quiet = null;

function announce(text) {
  clearTimeout(quiet);
  part("notice").textContent = text;
  quiet = setTimeout(() => { part("notice").textContent = ""; }, 6000);
}

function showModalities() {
  part("depth-hint").hidden = !needsDepth();
  part("files").accept = `image/*,.tif,.tiff,.bmp${needsDepth() ? ",.yaml" : ""}`;
}

function listProducts({ categories }) {
  const chosen = part("product").value;
  const names = categories.map(({ name }) => name).sort();
  part("product").replaceChildren(
    element("option", { value: "" }, "decide from the picture"),
    ...names.map((name) => element("option", { value: name }, name)),
  );
  part("product").value = names.includes(chosen) ? chosen : "";
}

listenForFiles(addFiles, { isWanted: (found) => isPicture(found) || (needsDepth() && isRange(found)) });
listenForCards({
  onSelect: (card) => (isViewBeside() ? open(itemOf(card), { focus: false }) : select(itemOf(card))),
  onOpen: (card, { byKey }) => open(itemOf(card), { focus: byKey }),
});
listenForView({ onStep: step, onClose: () => selected?.card.focus() });
part("clear").addEventListener("click", clear);
part("again").addEventListener("click", tryAgain);
part("csv").addEventListener("click", () => downloadCsv(ordered()));
part("filter").addEventListener("change", refresh);
part("sort").addEventListener("change", refresh);

const look = watchModel({
  onModel: (model, isNew) => {
    listProducts(model);
    showModalities();
    if (isNew) announce(`The service now uses model ${model.model_version}.`);
  },
  onReady: () => {
    part("key").hidden = true;
    queue.resume();
  },
  onKey: () => {
    if (hasKey()) part("key-wrong").textContent = "The service refused this key.";
    askForKey();
  },
});
part("key").addEventListener("submit", (event) => {
  event.preventDefault();
  part("key-wrong").textContent = "";
  useKey(part("key-field").value.trim());
  look();
});
