/** The model panel and the live figures: asked every 2 s while the page is seen; a new model loads its classes. */

import * as service from "./service.js";
import { count, element, number, percent } from "./words.js";

const EVERY_MS = 2000;
const SAMPLES = 60;
const part = (id) => document.getElementById(id);

let model = null;
let timer = null;
const rates = [];

/** The model last loaded, or null. */
export const currentModel = () => model;

/**
 * Start asking, and return how to ask at once. `onModel(model, isNew)` after each load, `onReady()` after each look
 * that was answered, `onKey()` where the service wants a key, which ends the asking.
 */
export function watchModel(heard) {
  const tick = async () => {
    clearTimeout(timer);
    if (document.hidden || !(await look(heard))) return;
    clearTimeout(timer); // another look may have ended meanwhile
    timer = setTimeout(tick, EVERY_MS);
  };
  document.addEventListener("visibilitychange", tick);
  tick();
  return tick;
}

/** One look; false where there is no use in another before a key is given. */
async function look({ onModel, onReady, onKey }) {
  try {
    if (!model) load(await service.model(), onModel);
    const stats = await service.stats();
    drawStats(stats);
    if (stats.model_version !== model.model_version) load(await service.model(), onModel);
    showState("ready", "ready");
    onReady();
  } catch (problem) {
    if (problem.status === 401) {
      showState("locked", "key needed");
      onKey();
      return false;
    }
    showState("down", problem.status === 503 ? "not ready" : "not answering");
  }
  return true;
}

function load(fresh, onModel) {
  // While versions change, replicas disagree: the same model again is no news.
  if (fresh.model_version === model?.model_version) return;
  const isNew = model !== null;
  model = fresh;
  drawModel();
  onModel(model, isNew);
}

function showState(state, words) {
  part("state").dataset.state = state;
  part("state").textContent = words;
}

function drawStats(stats) {
  part("rate").textContent = stats.images_per_s.toFixed(1);
  part("median").textContent = stats.p50_ms === null ? "–" : count(stats.p50_ms);
  rates.push(stats.images_per_s);
  if (rates.length > SAMPLES) rates.shift();
  const top = Math.max(...rates, 1);
  const points = rates.map((rate, i) => `${SAMPLES - rates.length + i},${(15 - (14 * rate) / top).toFixed(1)}`);
  part("spark").firstElementChild.setAttribute("points", points.join(" "));
}

function drawModel() {
  const { model_version, kind, image_size, false_alarm_rate, categories, experts } = model;
  part("model-title").textContent = `Model ${model_version}`;
  part("model-line").textContent =
    `${kind} · ${image_size} px · ${count(categories.length)} classes, ${count(experts.length)} experts · ` +
    `false-alarm target ${percent(false_alarm_rate)}`;
  part("classes").replaceChildren(...categories.map((row) => element("tr", {},
    element("th", { scope: "row" }, row.name),
    ...[row.expert, count(row.rows), count(row.num_images), number(row.threshold), `≤ ${percent(row.attained_rate)}`]
      .map((value) => element("td", {}, String(value))))));
  part("experts").replaceChildren(...experts.map(({ expert, deployment, categories: names }) => element("li", {},
    element("b", {}, `Expert ${expert}`),
    element("span", {}, names.join(", ")),
    element("span", { class: "muted" }, deployment))));
}
