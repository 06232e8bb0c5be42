// Graph attention step by step: `graph_attention` in gatutils.book.figures.

// All numbers of node i: gatutils.GATConv with one head.
function attention({ W, a, slope, sees }, features, i) {
  const dot = (u, v) => sum(u.map((x, k) => x * v[k]));
  const projected = features.map((h) => W.map((row) => dot(row, h)));
  const raw = projected.map((key) => dot(a, [...projected[i], ...key]));
  const scores = raw.map((x) => (x > 0 ? x : slope * x));
  const shares = softmax(sees[i].map((j) => scores[j]), 1);
  const weights = features.map((_, j) => shares[sees[i].indexOf(j)] ?? 0);
  const parts = projected.map((value, j) => value.map((x) => weights[j] * x));
  const state = [0, 1].map((k) => sum(parts.map((part) => part[k])));
  return { projected, raw, scores, weights, parts, state };
}

const two = (x) => x.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
const plain = (x) => two(x).replace(/\.?0+$/, ""); // 1, 0.5
const vector = (numbers, write = two) => `(${numbers.map(write).join(",\u00a0")})`;

const STEPS = ["project", "score", "mask", "softmax", "combine"];
// The steps that need a column of the table: the first fills it, a phone shows it in these alone.
const NEEDED = ["012345", "1", "125", "23", "234", "45", "5"];

class Attention extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 44rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    button, select { background: transparent; border: 1px solid var(--muted);
      border-radius: 0.3rem; min-height: 2rem; padding: 0 0.5rem; }
    button, select, [type=radio], .node { cursor: pointer; }
    [aria-disabled=true] { border-color: var(--hair); color: var(--masked); }
    .stepper, .change p { align-items: center; display: flex; gap: 0.4rem; }
    .steps { display: flex; flex: 1; }
    .steps label { flex: 1; padding: 0.3rem 0 0.5rem; position: relative; text-align: center; }
    [type=radio] { appearance: none; border-bottom: 4px solid var(--hair); inset: 0;
      position: absolute; }
    :checked, :checked ~ * { border-color: var(--now); color: var(--now); }
    .says { margin: 0.75rem 0; min-height: 3em; text-wrap: balance; }
    .middle, .change { align-items: center; display: grid; gap: 0.25rem 0.6rem; }
    .middle { grid-template-columns: minmax(0, 1fr) 15rem; }
    svg { fill: currentColor; max-height: 20rem; overflow: visible; stroke: currentColor;
      width: 100%; }
    path { fill: none; }
    polygon, text { stroke: none; }
    .edges { opacity: 0.3; }
    .own { color: var(--weight); }
    .asked path { stroke-dasharray: 4 4; }
    circle { fill: color-mix(in srgb, var(--weight) calc(var(--w) * 36%), var(--ground)); }
    .new circle { fill: color-mix(in srgb, var(--value) 18%, var(--ground)); }
    .masked { color: var(--masked); }
    .masked circle { stroke-dasharray: 3 3; }
    [aria-pressed=true] circle { stroke: var(--query); stroke-dasharray: none; stroke-width: 3; }
    text { font-size: 11.5px; text-anchor: middle; }
    .word { font-weight: 700; }
    .masked .number, s { text-decoration: line-through; }
    .change { grid-template-columns: max-content minmax(0, 1fr) 2.6em; white-space: nowrap; }
    .change p { grid-column: 1 / -1; margin: 0; }
    select { min-width: 0; }
    .change button { margin-inline-start: auto; }
    [type=range] { accent-color: currentColor; height: 2rem; width: 100%; }
    output { text-align: end; }
    table { border-collapse: collapse; font-size: 0.9rem; margin-top: 1rem; width: 100%; }
    caption { color: var(--muted); padding-bottom: 0.3rem; }
    th, td { padding: 0.25rem 0.3rem; text-align: end; white-space: nowrap; }
    th:first-child { text-align: start; }
    thead th { line-height: 1.3; vertical-align: baseline; }
    tbody tr { border-top: 1px solid var(--hair); }
    tfoot tr { border-top: 2px solid var(--muted); }
    th, tfoot td { font-weight: 600; }
    tr:not(.masked) > :nth-child(6) { color: var(--weight); }
    .chosen th { box-shadow: inset 3px 0 var(--query); color: var(--query); }
    .now { background: color-mix(in srgb, var(--now) 8%, transparent); }
    .later { visibility: hidden; }
    @container (max-width: 42rem) {
      .steps label { font-size: 0.75rem; line-height: 1.3; }
      .steps small { display: block; font-size: 1em; }
      .says { font-size: 0.9rem; min-height: 4.5em; }
      .middle { grid-template-columns: minmax(0, 1fr); }
      table { font-size: 0.8rem; }
      .rest { display: none; }
    }`;

  static page = `
    <div class="live">
      <div class="stepper">
        <button type="button" aria-label="previous step">←</button>
        <div class="steps" role="radiogroup" aria-label="step"></div>
        <button type="button" aria-label="next step">→</button>
      </div>
      <p class="says" aria-live="polite"></p>
      <div class="middle">
        <svg role="group" aria-label="graph"><g class="edges"></g><g class="own"></g></svg>
        <div class="change" role="group" aria-label="features">
          <p><label for="node">features of</label><select id="node"></select>
            <button type="button">reset</button></p>
          <label for="x">first</label><input id="x" type="range" step="0.1"><output for="x"></output>
          <label for="y">second</label><input id="y" type="range" step="0.1"><output for="y"></output>
        </div>
      </div>
      <table>
        <caption>node <b class="query"></b> looks; <span></span></caption>
        <thead><tr></tr></thead><tbody></tbody>
        <tfoot><tr><th scope="row">sum</th><td><td><td><td><td><td class="value"></tr></tfoot>
      </table>
    </div>
    <slot></slot>`;

  all(selector) {
    return [...this.shadowRoot.querySelectorAll(selector)];
  }

  start() {
    const { names, features, reach, columns, given, start, step } = this.data;
    this.features = structuredClone(features);
    this.$("caption span").textContent = given;
    this.$("thead tr").innerHTML = columns.map((words) => `<th scope="col">${words}</th>`).join("");
    this.$("tbody").append(...names.map((name) => make("tr", {},
      make("th", { scope: "row" }, name), ...columns.slice(1).map(() => make("td")))));
    this.$("select").append(...names.map((name) => make("option", {}, name)));
    this.$(".steps").append(...STEPS.map((name, k) => make("label", {},
      make("input", { type: "radio", name: "step" }), make("small", {}, `${k + 1} `), make("span", {}, name))));
    for (const slider of this.all("[type=range]")) [slider.min, slider.max] = [-reach, reach];
    this.draw();

    const on = (selector, kind, act) => this.all(selector).forEach((element, k) => {
      element.addEventListener(kind, (event) => act(element, k, event));
    });
    on("[type=radio]", "change", (_, k) => this.show({ step: k + 1 }));
    on(".stepper button", "click", (_, forth) =>
      this.show({ step: Math.min(Math.max(this.step + (forth ? 1 : -1), 1), 5) }));
    on("select", "change", (select) => this.show({ changed: select.selectedIndex }));
    on("[type=range]", "input", (slider, k) => {
      this.features[this.changed][k] = Number(slider.value);
      this.show();
    });
    on(".change button", "click", () => {
      this.features = structuredClone(features);
      this.show();
    });
    for (const kind of ["click", "focus"])
      on(".node", kind, (_, i) => i !== this.chosen && this.show({ chosen: i }));
    on(".node", "keydown", (_, _i, event) => {
      walk(event, this.all(".node"));
      if (event.key === " ") event.preventDefault(); // its focus has chosen it already
    });
    this.show({ chosen: start, step });
  }

  // The graph: its edges, faint, and its nodes.
  draw() {
    const { names, places, loops, sees, size, radius: r } = this.data;
    this.$("svg").setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    this.way = (j, i) => i === j ? loop(places[i], loops[i], r)
      : straight(places[j], places[i], r + 1);
    const line = ({ from, bend = "L", tip }) => `<path d="M${from}${bend}${tip}"/>`;
    this.$(".edges").innerHTML = sees.flatMap((seen, i) => seen.map((j) =>
      !sees[j].includes(i) ? arrow(this.way(j, i), 1) : j > i ? "" : line(this.way(j, i)))).join("");
    this.$("svg").insertAdjacentHTML("beforeend", places.map((at) => `
      <g class="node" role="button" transform="translate(${at})"><circle r="${r}"/>
        <text class="word"/><text class="number"/><text class="number"/></g>`).join(""));
    this.all(".node").forEach((node, i) => {
      node.setAttribute("aria-label", `node ${names[i]}`);
      node.children[1].textContent = names[i];
      node.children[1].style.fontSize = `${Math.min(13, 46 / names[i].length)}px`;
    });
  }

  show({ chosen = this.chosen, step = this.step, changed = this.changed } = {}) {
    const { names, sees } = this.data, seen = sees[chosen];
    // The sliders stay at a node that the chosen one sees.
    if (chosen !== this.chosen && !seen.includes(changed))
      changed = seen.find((j) => j !== chosen) ?? chosen;
    Object.assign(this, { chosen, step, changed });
    const hidden = names.map((_, j) => j).filter((j) => !seen.includes(j));
    const found = attention(this.data, this.features, chosen);

    this.all("[type=radio]")[step - 1].checked = true;
    this.all(".stepper button").forEach((button, forth) => {
      button.setAttribute("aria-disabled", step === (forth ? 5 : 1));
    });
    this.$("select").selectedIndex = changed;
    this.all("[type=range]").forEach((slider, k) => {
      slider.value = this.features[changed][k];
      slider.nextElementSibling.textContent = plain(this.features[changed][k]);
    });
    this.$("caption b").textContent = names[chosen];
    this.paint(found, step > 2 ? hidden : []);
    const words = this.words(found, seen, hidden);
    if (this.$(".says").textContent !== words) this.$(".says").textContent = words;
  }

  // The table as far as this step; in the graph, what it has found and the arrows that it uses.
  paint({ projected, raw, scores, weights, parts, state }, masked) {
    const { chosen, step } = this, nodes = this.all(".node"), known = step > 3;
    this.all("tbody tr").forEach((row, j) => {
      const out = masked.includes(j), fresh = step === 5 && j === chosen;
      row.className = `${j === chosen ? "chosen" : ""} ${out ? "masked" : ""}`;
      [vector(this.features[j], plain), vector(projected[j]), two(raw[j]), two(scores[j]),
        two(weights[j]), vector(parts[j])].forEach((text, c) => { row.cells[c + 1].textContent = text; });
      if (out) row.cells[4].replaceChildren(make("s", {}, two(scores[j])));

      const [circle, word, ...numbers] = nodes[j].children;
      const lines = fresh ? state : step === 1 ? projected[j] : !known ? [scores[j]]
        : out ? [] : [weights[j]];
      nodes[j].setAttribute("class", `node ${fresh ? "new" : out ? "masked" : ""}`);
      circle.style.setProperty("--w", known ? weights[j] : 0);
      word.setAttribute("y", 4.5 - 7 * lines.length);
      numbers.forEach((number, k) => {
        number.textContent = k in lines ? two(lines[k]) : "";
        number.setAttribute("y", 18.5 - 7 * lines.length + 13.5 * k);
      });
    });
    const sums = this.$("tfoot tr").cells;
    [sums[5].textContent, sums[6].textContent] = [two(sum(weights)), vector(state)];
    this.$("tfoot").classList.toggle("later", !known);
    for (const row of this.all("tr"))
      [...row.cells].forEach((cell, c) => {
        cell.classList.toggle("later", NEEDED[c][0] > step);
        cell.classList.toggle("rest", !NEEDED[c].includes(step));
        cell.classList.toggle("now", Number(NEEDED[c][0]) === step || (step === 3 && c === 4));
      });

    choose(nodes, chosen);
    this.$(".own").classList.toggle("asked", step === 2);
    this.$(".own").innerHTML = weights.map((weight, j) => {
      if (step === 1 || masked.includes(j)) return "";
      const [width, opacity] = known ? [1.25 + 5 * weight, 0.4 + 0.6 * weight] : [1.25, 1];
      return `<g data-from="${j}" opacity="${opacity}">${arrow(this.way(j, chosen), width)}</g>`;
    }).join("");
  }

  // What the step does, with the numbers of the chosen node i and of the node j of the sliders.
  words({ projected, raw, scores, weights, state }, seen, hidden) {
    const { chosen, step, changed, data: { names } } = this;
    if (step > 2 && !seen.length) return `Node ${names[chosen]} sees no node: no score is left.`;
    const j = step < 4 || seen.includes(changed) ? changed : seen[0];
    const [i, n] = [names[chosen], names[j]], pair = (k) => `(${i},\u00a0${names[k]})`;
    const exp = (k) => `exp(${two(scores[k])})`;
    return [
      `W h(${n}) = W ${vector(this.features[j], plain)} = ${vector(projected[j])}; `
        + "every node is projected by the same W.",
      `e${pair(j)} = LeakyReLU(${`a · [W h(${i}) ‖ W h(${n})]`.replaceAll(" ", "\u00a0")}) = `
        + `LeakyReLU(${two(raw[j])}) = ${two(scores[j])}; all pairs are scored, neighbours or not.`,
      hidden.length ? `Node ${i} does not see ${hidden.map((k) => names[k]).join(" or ")}; struck `
        + `out: ${hidden.map((k) => `e${pair(k)} = ${two(scores[k])}`).join(", ")}.`
        : `Node ${i} sees all nodes: no score is struck out.`,
      `α${pair(j)} = ${exp(j)} / (${seen.map(exp).join(" + ")}) = ${two(weights[j])}.`,
      `h′(${i}) = ${seen.map((k) => `${two(weights[k])}\u00a0${vector(projected[k])}`).join(" + ")}`
        + ` = ${vector(state)}.`,
    ][step - 1];
  }
}

customElements.define("gat-attention", Attention);
