// What graph attention shows of a pair of nodes: cells, a curve, bars, and a sum in the plane.

const three = (x) => x.toFixed(3).replace("-0.000", "0.000").replace("-", "−");
const vector = (numbers, write = two) => `(${numbers.map(write).join(",\u00a0")})`;

// A symbol with its indices, such as e12; names longer than a letter are kept apart.
function indexed(symbol, ...names) {
  const short = names.every((name) => name.length === 1);
  return make("span", { class: "symbol" }, symbol, make("sub", {}, names.join(short ? "" : ",\u00a0")));
}

// Cells of numbers in the colour of their role, the stronger the larger the number.
function cells(numbers, role, most, tag = "td") {
  return numbers.map((x) => make(tag,
    { class: `cell ${role}`, style: `--w: ${Math.min(1, Math.abs(x) / (most || 1))}` }, trimmed(x)));
}

const largest = (numbers) => Math.max(...numbers.flat(Infinity).map(Math.abs));

// W times the states of all nodes, one in each column, is their projected states.
function projection(div, { W, features, projected, names, i, j }) {
  const grid = (caption, heads, columns, role = () => "given") => make("table", {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...heads.map((head, k) => make("th", { scope: "col", class: role(k) }, head)))),
    make("tbody", {}, ...columns[0].map((_, d) => make("tr", {},
      ...columns.flatMap((column, k) => cells([column[d]], role(k), largest(columns)))))));
  const one = grid(say`matrix`, ["", "W"], W[0].map((_, d) => W.map((row) => row[d])));
  one.tHead.rows[0].replaceChildren(make("th", { scope: "colgroup", colspan: W[0].length }, "W"));
  div.replaceChildren(one, make("span", {}, "×"),
    grid(say`states`, names.map((name) => indexed("h", name)), features), make("span", {}, "="),
    grid(say`projected states`, names.map((name) => indexed("W h", name)), projected,
      (k) => (k === i ? "query" : k === j ? "key" : "given")));
}

// [W h_i ‖ W h_j] above a above their products, each a strip of cells.
function strips(table, { pair, a, products, i, j }) {
  const half = pair.length / 2, most = largest(pair);
  const row = (head, ...content) => make("tr", {}, make("th", { scope: "row" }, ...head), ...content);
  const over = (role, word, name) =>
    make("th", { scope: "col", colspan: half, class: role }, `${word} `, indexed("W h", name));
  table.tBodies[0].replaceChildren(
    make("tr", {}, make("td"), over("query", say`query`, i), over("key", say`key`, j)),
    row(["[", indexed("W h", i), " ‖ ", indexed("W h", j), "]"],
      ...cells(pair.slice(0, half), "query", most), ...cells(pair.slice(half), "key", most)),
    row(["× a"], ...cells(a, "given", largest(a))),
    row([`= ${say`products`}`], ...cells(products, "given", largest(products))));
}

// The LeakyReLU with a small point for each key and a large one for the key that is chosen.
function curve(svg, { raw, scores, slope, j }) {
  const [left, top, size] = [8, 6, 112];
  const reach = Math.max(1, Math.ceil(largest(raw)));
  const x = (number) => left + (size * (number + reach)) / (2 * reach);
  const y = (number) => top + (size * (reach - number)) / (2 * reach);
  const low = -Math.max(slope, 0.3) * reach; // nothing is to be seen below
  svg.setAttribute("viewBox", `0 0 128 ${y(low) + 6}`);
  svg.querySelector(".axes").setAttribute("d",
    `M${x(-reach)},${y(0)}H${x(reach)}M${x(0)},${y(low)}V${y(reach)}`);
  svg.querySelector(".line").setAttribute("d",
    `M${x(-reach)},${y(-slope * reach)}L${x(0)},${y(0)}L${x(reach)},${y(reach)}`);
  svg.querySelector(".guide").setAttribute("d",
    `M${x(raw[j])},${y(0)}V${y(scores[j])}H${x(0)}`);
  svg.querySelectorAll("circle").forEach((point, k) => {
    const at = k < raw.length ? k : j;
    point.style.transform = `translate(${x(raw[at])}px, ${y(scores[at])}px)`;
    Object.assign(point.dataset, { raw: raw[at], score: scores[at] });
  });
}

// The values that a node takes, each times its weight, head to tail; and its old and new state.
function plane(svg, { old, state, parts, seen, j }) {
  const at = [[0, 0]];
  for (const k of seen) at.push(at.at(-1).map((x, d) => x + parts[k][d]));
  const size = 200, ends = [0, 1].map((d) => [...at, old].map((point) => point[d]));
  const low = ends.map((all) => Math.floor(Math.min(...all) + 1e-9));
  const side = Math.max(1, ...ends.map((all, d) => Math.ceil(Math.max(...all) - 1e-9) - low[d]));
  const place = ([x, y]) => [(size * (x - low[0])) / side, size - (size * (y - low[1])) / side];
  const lines = Array.from({ length: side + 1 }, (_, k) => (size * k) / side), [x, y] = place([0, 0]);
  svg.querySelector(".grid").setAttribute("d", lines.map((at) => `M${at},0V${size}M0,${at}H${size}`).join(""));
  svg.querySelector(".axes").setAttribute("d", `M${x},0V${size}M0,${y}H${size}`);
  [low[0], low[0] + side, low[1], low[1] + side].forEach((end, k) => {
    svg.querySelectorAll("text")[k].textContent = trimmed(end);
  });
  const way = (from, to, width) => {
    const [a, b] = [place(from), place(to)], far = Math.hypot(b[0] - a[0], b[1] - a[1]);
    if (far < 1) return "";
    if (far < 12) return `<path d="M${a}L${b}" stroke-width="${width}"/>`; // no room for a head
    return arrow(straight(a, b, 0), width);
  };
  svg.querySelector(".arrows").innerHTML =
    `<g class="old" data-vector="${old}">${way([0, 0], old, 2)}</g>`
    + seen.map((k, n) => `<g class="term${k === j ? " chosen" : ""}" data-vector="${parts[k]}">`
      + `${way(at[n], at[n + 1], k === j ? 3.5 : 2)}</g>`).join("")
    + `<g class="sum" data-vector="${state}">${way([0, 0], state, 3.5)}</g>`;
}

// h'_i = weight · value + weight · value + ... = new state, a line for each value.
function equation(list, { name, names, seen, weights, projected, old, state, j }) {
  const line = (kind, head, ...content) => make("div", { class: `line ${kind}` },
    make("i", { class: "mark" }), make("span", { class: "left" }, ...head), make("span", {}, ...content));
  const called = (node) => make("small", {}, say`node ${node}`);
  const fresh = [say`new state`, " ", indexed("h′", name)];
  list.replaceChildren(
    line("old", [say`old state`, " ", indexed("h", name)], `= ${vector(old, trimmed)}`),
    ...seen.map((k, n) => line(`term${k === j ? " chosen" : ""}`, n ? [] : fresh,
      n ? "+ " : "= ", make("span", { class: "weight" }, three(weights[k])), "\u00a0· ",
      make("span", { class: "value" }, vector(projected[k], trimmed)),
      called(names[k]))),
    line("sum", seen.length ? [] : fresh,
      "= ", make("b", {}, vector(state, three))));
}
