// The nodes that the new state of one node depends on: `receptive_field` in gatutils.book.figures.

// `_hash` and `sampled` in receptive_field.py.
const hash = (...numbers) => numbers.reduce((mixed, k) => {
  let x = (mixed + k + 0x9e3779b9) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
}, 0);

// The hop in which each node is first reached, and the edges of each hop as [source, target].
function sampled(sources, node, size, layers, draw) {
  const hops = new Map([[node, 0]]), drawn = [];
  for (let hop = 1; hop <= layers; hop++) {
    const edges = [...hops.keys()].flatMap((i) => {
      const order = new Map(sources[i].map((j) => [j, hash(draw, hop, i, j)]));
      return [...order.keys()].sort((a, b) => order.get(a) - order.get(b))
        .slice(0, size ?? sources[i].length).map((j) => [j, i]);
    });
    for (const [j] of edges) if (!hops.has(j)) hops.set(j, hop);
    drawn.push(edges);
  }
  return { hops, drawn };
}

const BYTES = 4; // of one number
const inLayers = (count) => (count === 1 ? say`${count} layer` : say`${count} layers`);
const inNodes = (count) => (count === 1 ? say`${count} node` : say`${count} nodes`);
const grouped = (x) => String(x).replace(/\B(?=(\d{3})+$)/g, ",");

class ReceptiveField extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 46rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .says { margin: 0 0 0.75rem; min-height: 3.2em; text-wrap: balance; }
    .both { align-items: center; display: flex; flex-wrap: wrap; gap: 1rem 1.5rem;
      justify-content: center; }
    .graph { flex: 1 1 22rem; max-width: 26rem; min-width: min(100%, 22rem); }
    .beside { flex: 1 1 16rem; max-width: 24rem; }
    svg { display: block; fill: currentColor; overflow: visible; stroke: currentColor;
      width: 100%; }
    .edges { opacity: 0.22; stroke-width: 1; }
    .used { color: var(--now); fill: var(--now); stroke: var(--now); }
    .used polygon, text, .room { stroke: none; }
    .node { cursor: pointer; }
    .room { fill: transparent; }
    .node circle { fill: var(--ground); r: 4.5px; stroke: var(--muted); stroke-width: 1.2; }
    .needed circle { fill: color-mix(in srgb, var(--now) var(--tint), var(--ground)); r: 9.5px;
      stroke: var(--now); stroke-width: 1.5; }
    .node[aria-pressed=true] circle { r: 11.5px; stroke: var(--query); stroke-width: 3.5; }
    text { font-size: 12.5px; opacity: 0; text-anchor: middle; }
    .needed text { opacity: 1; }
    .node[aria-pressed=true] text { font-weight: 700; }
    .hop0 { --tint: 0%; } .hop1 { --tint: 46%; } .hop2 { --tint: 26%; } .hop3 { --tint: 8%; }
    .legend { color: var(--muted); font-size: 0.8rem; line-height: 1.4; margin: 0.5rem 0 0; }
    table { border-collapse: collapse; table-layout: fixed; width: 100%; }
    caption { font-size: 0.85rem; padding-bottom: 0.3rem; text-align: start; }
    th { font-size: 0.85rem; font-weight: 400; padding: 0; text-align: start; }
    td { padding: 0; }
    .choice th:first-child { width: 3.6rem; }
    .choice thead th { padding-bottom: 0.2rem; }
    .choice button { background: none; border: 1px solid var(--hair); border-radius: 0.2rem;
      cursor: pointer; display: block; min-height: 2.6rem; padding: 0.15rem 0.4rem 0.35rem;
      text-align: start; width: 100%; }
    .choice [aria-pressed=true] { border-color: var(--now); font-weight: 700;
      box-shadow: inset 0 0 0 2px var(--now); }
    .choice :focus-visible { outline-offset: 1px; position: relative; z-index: 1; }
    .bar { background: var(--hair); border-radius: 0.2rem; display: block; height: 0.35rem;
      overflow: hidden; }
    .bar i { background: var(--now); display: block; height: 100%; width: 0; }
    .again { background: none; border: 1px solid var(--muted); border-radius: 0.4rem;
      cursor: pointer; margin: 0.6rem 0; min-height: 2.5rem; padding: 0 0.8rem; }
    .count :is(th, td) { line-height: 1.65; text-align: end; }
    .count :is(th:first-child) { text-align: start; width: 5.2rem; }
    .count thead tr { border-bottom: 1px solid var(--muted); }
    .count tfoot tr:first-child { border-top: 1px solid var(--muted); font-weight: 600; }
    .count td { white-space: nowrap; }
    .later { visibility: hidden; }
    .dot { background: color-mix(in srgb, var(--now) var(--tint), var(--ground));
      border: 1.5px solid var(--now); border-radius: 50%; display: inline-block; font-size: 0.8rem;
      height: 1.35rem; line-height: 1.2rem; text-align: center; width: 1.35rem; }
    .dot.hop0 { border: 3px solid var(--query); font-weight: 700; line-height: 1rem; }
    @media (prefers-reduced-motion: no-preference) {
      .node circle { transition: fill 0.25s, r 0.25s, stroke 0.25s; }
      .node text { transition: opacity 0.25s; }
      .bar i { transition: width 0.25s; }
    }
    @container (max-width: 32rem) {
      .says { font-size: 0.9rem; min-height: 6em; text-align: start; text-wrap: pretty; }
    }`;

  static page = `
    <div class="live">
      <p class="says" aria-live="polite"></p>
      <div class="both">
        <div class="graph">
          <svg role="group" aria-label="${say`graph`}"><g class="edges"></g><g class="used"></g></svg>
          <p class="legend">${
            say`Choose a node, and the layers and the fan-out in the table. With a fan-out of k, each hop draws up to k neighbours of every node reached so far. The number in a node is the hop that first reaches it; nodes without a number are not needed.`}</p>
        </div>
        <div class="beside">
          <table class="choice"><caption></caption>
            <thead><tr><th scope="col">${say`fan-out`}</th></tr></thead><tbody></tbody></table>
          <button type="button" class="again">${say`draw again`}</button>
          <table class="count" aria-label="${say`counts`}">
            <thead><tr><th scope="col">${say`hop`}</th><th scope="col">${say`new nodes`}</th>
              <th scope="col">${say`edges`}</th></tr></thead>
            <tbody></tbody>
            <tfoot><tr><th scope="row">${say`sum`}</th><td></td><td></td></tr>
              <tr><th scope="row">${say`features`}</th><td colspan="2"></td></tr></tfoot></table>
        </div>
      </div>
    </div>
    <slot></slot>`;

  start() {
    const { sources, fanouts, layers, draw, start } = this.data;
    const numbers = [...Array(layers).keys()].map((k) => k + 1);
    this.drawing = draw;
    const total = sources.length;
    this.$(".choice caption").textContent = say`nodes needed, of ${total}`;
    this.$(".choice thead tr").append(...numbers.map((k) =>
      make("th", { scope: "col" }, inLayers(k))));
    this.$(".choice tbody").append(...fanouts.map((size) => make("tr", {},
      make("th", { scope: "row" }, size === null ? say`all` : String(size)),
      ...numbers.map(() => make("td", {}, make("button", { type: "button" }, make("span"),
        make("span", { class: "bar", "aria-hidden": "true" }, make("i"))))))));
    this.$(".count tbody").append(...[0, ...numbers].map((hop) => make("tr", {},
      make("th", { scope: "row" }, make("span", { class: `dot hop${hop}` }, String(hop))),
      make("td"), make("td"))));
    this.cells = this.all(".choice button");
    this.draw();

    const stops = this.nodes.map((node) => node.element);
    const graph = this.$(".graph"); // an <svg> that listens to the focus would take it
    for (const kind of ["click", "focusin"]) {
      graph.addEventListener(kind, (event) => {
        const found = this.nodes.find(({ element }) => element.contains(event.target));
        if (found && found.index !== this.node) this.show({ node: found.index });
      });
      this.$(".choice").addEventListener(kind, (event) => {
        const cell = this.cells.findIndex((button) => button.contains(event.target));
        if (cell >= 0 && cell !== this.cell) this.show({ cell });
      });
    }
    graph.addEventListener("keydown", (event) => {
      walk(event, stops);
      if (event.key === " ") event.preventDefault(); // its focus has chosen it
    });
    this.$(".choice").addEventListener("keydown", (event) => { // along its row or its column
      const from = this.cells.indexOf(event.target), upright = /Up|Down/.test(event.key);
      walk(event, this.cells.filter((_, k) => upright ? k % layers === from % layers
        : Math.floor(k / layers) === Math.floor(from / layers)));
    });
    this.$(".again").addEventListener("click", () => {
      this.drawing++;
      this.show();
    });
    this.show({ node: start[0], cell: start[2] * layers + start[1] - 1 });
  }

  // What does not change: all edges, and the nodes in the order in which one reads.
  draw() {
    const { sources, places, size, room } = this.data, svg = this.$("svg");
    svg.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    this.$(".edges").innerHTML = sources.flatMap((near, i) => near.map((j) =>
      sources[j].includes(i) && j > i ? "" : `<path d="M${places[j]}L${places[i]}"/>`)).join("");
    const order = [...places.keys()].sort((a, b) =>
      places[a][1] - places[b][1] || places[a][0] - places[b][0]);
    svg.insertAdjacentHTML("beforeend", order.map((i) => `
      <g class="node" role="button" transform="translate(${places[i]})">
        <path class="room" d="M${-room},0L0,${-room}L${room},0L0,${room}z"/>
        <circle r="9.5"/><text y="4.5"/></g>`).join(""));
    this.nodes = this.all(".node").map((element, k) => ({ element, index: order[k] }));
  }

  show({ node = this.node, cell = this.cell } = {}) {
    const { sources, fanouts, layers: most } = this.data, first = this.node === undefined;
    Object.assign(this, { node, cell });
    const found = this.cells.map((_, k) => sampled(
      sources, node, fanouts[Math.floor(k / most)], k % most + 1, this.drawing));
    choose(this.cells, cell);
    this.cells.forEach((button, k) => {
      const count = found[k].hops.size, size = fanouts[Math.floor(k / most)];
      button.firstChild.textContent = count;
      button.querySelector("i").style.width = `${100 * count / sources.length}%`;
      const layers = inLayers(k % most + 1), width = size ?? say`all`, nodes = inNodes(count);
      button.setAttribute("aria-label", say`${layers}, fan-out ${width}: ${nodes}`);
    });
    this.paint(found[cell], first);
    this.count(found[cell]);
    const words = this.words(found.map(({ hops }) => hops.size));
    if (this.$(".says").textContent !== words) this.$(".says").textContent = words;
  }

  // The nodes with their hops, and the edges of each hop, the thicker the earlier.
  paint({ hops, drawn }, still) {
    const { places } = this.data;
    choose(this.nodes.map(({ element }) => element),
      this.nodes.findIndex(({ index }) => index === this.node));
    for (const { element, index } of this.nodes) {
      const hop = hops.get(index);
      element.setAttribute("class", hop === undefined ? "node" : `node needed hop${hop}`);
      element.setAttribute("aria-label",
        hop === undefined ? say`node ${index}: not needed` : say`node ${index}: hop ${hop}`);
      if (hop !== undefined) element.lastElementChild.textContent = hop; // else it fades
    }
    const seen = new Set();
    this.$(".used").innerHTML = drawn.map((edges, k) => {
      const fresh = edges.filter((edge) => !seen.has(String(edge)));
      for (const edge of fresh) seen.add(String(edge));
      return `<g>${fresh.map(([j, i]) => `<g data-edge="${j},${i}">${
        arrow(straight(places[j], places[i], i === this.node ? 13.5 : 10.5), [2.2, 1.5, 0.9][k])}</g>`).join("")}</g>`;
    }).reverse().join("");
    if (still || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const group of this.$(".used").children)
      group.animate([{ opacity: 0 }, {}], { duration: 300, easing: "ease-in" });
  }

  // The table of hops, and the bytes of the features.
  count({ hops, drawn }) {
    const { sources, features } = this.data, reached = [...hops.values()];
    const sums = this.$(".count tfoot").rows, bytes = features * BYTES;
    [...this.$(".count tbody").rows].forEach((row, hop) => {
      row.classList.toggle("later", hop > drawn.length);
      row.cells[1].textContent = reached.filter((k) => k === hop).length;
      row.cells[2].textContent = drawn[hop - 1]?.length ?? 0;
    });
    const count = hops.size, total = sources.length;
    sums[0].cells[1].textContent = say`${count} of ${total}`;
    sums[0].cells[2].textContent = sum(drawn.map((edges) => edges.length));
    const needed = grouped(count * bytes), stored = grouped(total * bytes);
    sums[1].cells[1].textContent = say`${needed} of ${stored} bytes`;
  }

  words(counts) {
    const { node, cell, data: { sources, fanouts, layers: most } } = this;
    const row = Math.floor(cell / most), k = cell % most, all = fanouts.length - 1;
    const other = row < all ? all : Math.max(fanouts.indexOf(2), 0);
    const [count, also] = [counts[cell], counts[other * most + k]];
    const way = (of) => {
      const size = fanouts[of];
      return of === all ? say`all neighbours` : say`a fan-out of ${size}`;
    };
    const degree = sources[node].length, total = sources.length;
    const share = `${Math.round(100 * count / total)}\u00a0%`, layers = inLayers(k + 1);
    const near = degree === 1 ? say`The outlined node has ${degree} neighbour.`
      : say`The outlined node has ${degree} neighbours.`;
    const thisWay = way(row), thatWay = way(other);
    const needs = say`With ${layers} and ${thisWay}, its new state depends on the features of ${count} of ${total} nodes, ${share} of the bytes; with ${thatWay}, on ${also}.`;
    return `${near} ${needs}`;
  }
}

customElements.define("gat-receptive-field", ReceptiveField);
