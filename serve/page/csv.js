/** The session's results as a CSV file. */

const COLUMNS = [
  "name", "status", "score", "threshold", "p_value", "category", "expert", "routing", "model_version", "problem",
];

/** CSV text (RFC 4180) of the items, one row each, in this order. */
export function csvOf(items) {
  const rows = items.map(({ name, status, note, result }) => [
    name, status, result?.score, result?.threshold, result?.p_value, result?.category, result?.expert,
    result?.routing.map(({ category, distance }) => `${category}:${distance}`).join(" "),
    result?.modelVersion, status === "failed" ? note : "",
  ]);
  return [COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (typeof value === "number") return String(value);
  // A spreadsheet runs text that begins like a formula; file names come from anywhere.
  const text = String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function downloadCsv(items) {
  const url = URL.createObjectURL(new Blob([csvOf(items)], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `eagleray-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the browser reads it after the click returns
}
