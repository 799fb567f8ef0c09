/** The service's HTTP interface: requests, problems as errors, retries, the key in this tab's sessionStorage. */

const KEY = "eagleray-key";
const RETRY_FOR_MS = 60_000;
const SCORE_TIMEOUT_MS = 120_000;
const ASK_TIMEOUT_MS = 10_000;

/** What the service, or the way to it, refused; `retryAfterS` is set where asking again may help. */
export class Problem extends Error {
  constructor(status, detail, retryAfterS = null) {
    super(detail);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

export const useKey = (key) => sessionStorage.setItem(KEY, key);
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

export const model = () => ask("v1/model", {}, ASK_TIMEOUT_MS);
export const stats = () => ask("v1/stats", {}, ASK_TIMEOUT_MS);

/**
 * Score one picture, {file, depth, range}, with its heat map; depth and range are null for a model of colour, and range
 * for a depth that is a TIFF. Waits as long as the service asks where it is busy, a minute in all.
 * `onWait(problem, seconds)` hears of each wait. Rejects with Problem, or AbortError after `signal`.
 */
export async function score(picture, { category, signal, onWait }) {
  const query = new URLSearchParams({ heatmap: "png" });
  if (category) query.set("category", category);
  const giveUpAt = performance.now() + RETRY_FOR_MS;
  for (;;) {
    try {
      const answer = await ask(`v1/score?${query}`, { method: "POST", body: bodyOf(picture), signal }, SCORE_TIMEOUT_MS);
      return { modelVersion: answer.model_version, ...answer.items[0] };
    } catch (problem) {
      if (!problem.retryAfterS || performance.now() > giveUpAt) throw problem;
      if (problem.status === 0) await checkReadable(picture);
      onWait(problem, problem.retryAfterS);
      // Pictures refused together must not come back together.
      await delay(problem.retryAfterS * (1000 + 250 * Math.random()), signal);
    }
  }
}

function bodyOf({ file, depth, range }) {
  if (!depth) return file;
  const form = new FormData();
  form.append("image", file);
  form.append("depth", depth);
  if (range) form.append("depth_range", range);
  return form;
}

async function ask(path, init, timeoutMs) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  let answer;
  try {
    answer = await fetch(path, { ...init, headers, signal, cache: "no-store" });
    if (answer.ok) return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new Problem(0, `No answer within ${timeoutMs / 1000} s.`);
    throw new Problem(0, "The service does not answer. Is it running, and is this machine connected?", 2);
  }
  throw await problemOf(answer);
}

async function problemOf(answer) {
  const said = await answer.json().catch(() => ({}));
  const detail = said.detail ?? said.title ?? `The service answered ${answer.status} ${answer.statusText}`.trim();
  const busy = answer.status === 429 || answer.status === 503;
  const asked = Number(answer.headers.get("Retry-After"));
  return new Problem(answer.status, String(detail), busy ? Math.min(asked > 0 ? asked : 1, 30) : null);
}

/** A file moved or changed since it was chosen fails like a dead network; only reading tells them apart. */
async function checkReadable({ file, depth, range }) {
  try {
    for (const one of [file, depth, range]) await one?.slice(0, 1).arrayBuffer();
  } catch {
    throw new Problem(0, "This file, or its depth, was moved, changed or closed since it was chosen. Choose it again.");
  }
}

function delay(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
