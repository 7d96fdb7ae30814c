"use strict";
// Tables that sort, filter and turn pages. Only one page of rows is in the document: 100,000 rows stay quick.
const PAGE = 25;
// Smaller numbers would be 0.000.
const TINY = 5e-4;
const BOARD = "http://localhost:8520";

// Opened from disk, the page leads to the board on its usual port; served by the board, to the board itself.
const jobAddress = (id) => (location.protocol === "file:" ? BOARD : "") + "/job/" + encodeURIComponent(id);
for (const link of document.querySelectorAll("a.job")) link.href = jobAddress(decodeURIComponent(link.getAttribute("href").slice(5)));

const element = (name, attributes, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

// Large tables are JSON in gzip in base64.
async function dataOf(box) {
  const text = document.getElementById(box.id + "-data").textContent;
  if (text.startsWith("{")) return JSON.parse(text);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function sheet(box, data) {
  const columns = data.columns;
  const hidden = new Set(Object.values(data.jobs));
  const shown = columns.map((_, k) => k).filter((k) => !hidden.has(columns[k].name));
  const place = (name) => columns.findIndex((column) => column.name === name);
  const raw = (k, row) => (columns[k].words ? columns[k].words[columns[k].codes[row]] : columns[k].values[row]);
  const text = (k, row) => {
    const value = raw(k, row);
    if (value === null) return "\u2013";
    if (typeof value !== "number" || columns[k].whole) return String(value);
    return value !== 0 && Math.abs(value) < TINY ? value.toExponential(1) : value.toFixed(3);
  };
  const count = columns.length ? (columns[0].codes || columns[0].values).length : 0;
  const order = Array.from({ length: count }, (_, row) => row);
  const rank = columns.map((column) => {
    if (!column.words) return column.values;
    const sorted = column.words.map((_, k) => k).sort((a, b) => column.words[a].localeCompare(column.words[b], "en", { numeric: true }));
    const ranks = []; sorted.forEach((word, k) => { ranks[word] = k; });
    return column.codes.map((code) => ranks[code]);
  });
  let rows = order, sortedBy = -1, rising = true, page = 0;
  const chosen = {};
  let needle = "";

  const tools = element("div", { class: "tools" });
  const search = element("input", { type: "search" });
  tools.append(element("label", {}, "contains", search));
  for (const name of data.filters) {
    const menu = element("select", {}, element("option", { value: "" }, "all"));
    columns[place(name)].words.forEach((word, k) => menu.append(element("option", { value: k }, word)));
    menu.addEventListener("change", () => { chosen[name] = menu.value; refresh(); });
    tools.append(element("label", {}, name, menu));
  }
  const back = element("button", { type: "button" }, "previous");
  const forth = element("button", { type: "button" }, "next");
  const status = element("span", { role: "status" });
  tools.append(back, forth, status);

  const head = element("tr", {});
  const headers = shown.map((k) => {
    const button = element("button", { type: "button" }, columns[k].name);
    const header = element("th", { scope: "col", "aria-sort": "none" }, button);
    button.addEventListener("click", () => { rising = sortedBy === k ? !rising : true; sortedBy = k; refresh(); });
    head.append(header);
    return header;
  });
  const body = element("tbody", {});
  const table = element("table", {}, element("caption", {}, box.dataset.caption), element("thead", {}, head), body);

  function refresh() {
    page = 0;
    const wanted = Object.entries(chosen).filter(([, code]) => code !== "").map(([name, code]) => [columns[place(name)].codes, Number(code)]);
    rows = order.filter((row) => wanted.every(([codes, code]) => codes[row] === code)
      && (!needle || shown.some((k) => text(k, row).toLowerCase().includes(needle))));
    if (sortedBy >= 0) {
      const by = rank[sortedBy], sign = rising ? 1 : -1;
      // What is not known comes last, whichever way.
      rows.sort((a, b) => (by[a] === null) - (by[b] === null) || sign * (by[a] - by[b]) || a - b);
    }
    headers.forEach((header, k) => header.setAttribute("aria-sort", shown[k] !== sortedBy ? "none" : rising ? "ascending" : "descending"));
    draw();
  }

  function cell(k, row) {
    const job = data.jobs[columns[k].name];
    const made = element("td", columns[k].words ? {} : { class: "number" });
    made.append(job ? element("a", { class: "job", href: jobAddress(raw(place(job), row)) }, text(k, row)) : text(k, row));
    return made;
  }

  function draw() {
    const first = page * PAGE, last = Math.min(first + PAGE, rows.length);
    body.replaceChildren(...rows.slice(first, last).map((row) => element("tr", {}, ...shown.map((k) => cell(k, row)))));
    status.textContent = rows.length ? `rows ${first + 1} to ${last} of ${rows.length}` : "no row meets this";
    back.disabled = page === 0;
    forth.disabled = last >= rows.length;
  }

  back.addEventListener("click", () => { page -= 1; draw(); });
  forth.addEventListener("click", () => { page += 1; draw(); });
  search.addEventListener("input", () => { needle = search.value.trim().toLowerCase(); refresh(); });
  box.append(tools, element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": box.dataset.caption }, table));
  refresh();
}

// One figure of several, chosen from a menu. Without this script, and in print, all are shown.
function choice(box) {
  const options = [...box.querySelectorAll(":scope > .option")];
  if (options.length < 2) return;
  const menu = element("select", {}, ...options.map((option, k) => element("option", { value: k }, option.dataset.title)));
  const show = () => options.forEach((option, k) => option.classList.toggle("away", k !== Number(menu.value)));
  menu.addEventListener("change", show);
  box.prepend(element("div", { class: "tools" }, element("label", {}, box.dataset.label, menu)));
  show();
}

document.querySelectorAll(".choice").forEach(choice);
Promise.all([...document.querySelectorAll(".sheet")].map(async (box) => sheet(box, await dataOf(box)))).then(() => {
  document.documentElement.dataset.ready = "yes";
});
