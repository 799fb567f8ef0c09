/** Words and numbers as the page writes them. */

export const WORDS = {
  waiting: "waiting",
  scoring: "scoring",
  good: "good",
  anomalous: "anomalous",
  unknown: "unknown product",
  failed: "failed",
};

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const share = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 2 });

export const count = (n) => whole.format(n);
export const percent = (x) => share.format(x);
export const number = (x) => (Number.isFinite(x) ? x.toFixed(Math.abs(x) >= 100 ? 1 : 3) : "–");
export const pValue = (p) => (Number.isFinite(p) && p < 0.001 ? "< 0.001" : number(p));

/** An element with text or children; attributes by name. */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
