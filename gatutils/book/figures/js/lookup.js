// A lookup, from the dict to the mean: `lookup` in gatutils.book.figures.

class Lookup extends Figure {
  static style = `
    :host { margin: auto; max-width: 42rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .controls {
      align-items: center; display: grid; gap: 0.25rem 1rem;
      grid-template-columns: max-content minmax(0, 1fr) 4.2em; margin-bottom: 1rem;
    }
    .ask { grid-column: 2 / -1; min-height: 2rem; }
    select {
      background: transparent; border: 1px solid var(--muted); border-radius: 0.3rem;
      font-weight: 600; max-width: 100%; min-height: 2rem; padding: 0 0.4rem;
    }
    output { font-weight: 600; text-align: end; }
    input { accent-color: currentColor; height: 2rem; width: 100%; }
    input:focus-visible { border-radius: 0.3rem; outline-offset: -4px; }
    .scale {
      color: var(--muted); display: grid; font-size: 0.8em; grid-column: 2;
      grid-template-columns: 1fr auto 1fr; line-height: 1.3; margin-top: -0.35rem;
    }
    .scale :last-child { text-align: end; }
    table { border-collapse: collapse; width: 100%; }
    th, td { padding: 0.4rem 0.6rem; text-align: end; vertical-align: baseline; white-space: nowrap; }
    th:first-child { padding-inline-start: 0; text-align: start; }
    :is(th, td):last-child { padding-inline-end: 0; }
    thead th { font-weight: 600; line-height: 1.25; }
    thead small { display: block; }
    tbody tr { border-top: 1px solid var(--hair); }
    tfoot tr { border-top: 2px solid var(--muted); }
    tbody th { font-weight: 600; }
    tfoot :is(th, td) { padding-top: 0.6rem; }
    tfoot td { font-size: 1.15em; font-weight: 600; }
    i { font-style: normal; }
    .step {
      border: 1px solid currentColor; border-radius: 50%; display: inline-block;
      font-size: 0.72em; height: 1.5em; line-height: 1.4em; text-align: center; vertical-align: 0.1em;
      width: 1.5em;
    }
    .widest { width: 45%; }
    .share { align-items: baseline; display: flex; gap: 0.6rem; }
    .bar { background: color-mix(in srgb, var(--weight) 12%, transparent); flex: 1; height: 0.7em; }
    .bar, .bar i { border-radius: 0.15em; display: block; }
    .bar i { background: var(--weight); height: 100%; }
    @container (max-width: 32rem) {
      .controls { display: flex; flex-wrap: wrap; gap: 0.25rem 0.75rem; }
      .ask { flex: 1 1 70%; }
      [for="tau"] { flex: 1; }
      input, .scale { flex: 1 0 100%; order: 1; }
      table { font-size: 0.9em; }
      th, td { padding-inline: 0.2rem; }
      thead th { font-size: 0.85em; vertical-align: top; white-space: normal; }
      thead th:nth-child(2) { white-space: nowrap; }
      .widest { width: auto; }
      tbody small { display: block; }
      .share { align-items: stretch; flex-direction: column-reverse; gap: 0.1rem; }
      .bar { flex: none; height: 0.3em; }
    }`;

  static page = `
    <div class="live">
      <div class="controls">
        <label for="query">query</label>
        <div class="ask"><select id="query" class="query"></select> <small></small></div>
        <label for="tau">temperature τ</label>
        <input id="tau" type="range" min="0" max="40" step="1" value="20">
        <output for="tau"></output>
        <div class="scale" aria-hidden="true">
          <span>0, a dictionary</span><span>1</span><span>∞, the mean</span>
        </div>
      </div>
      <table>
        <thead><tr>
          <th scope="col" class="key">key</th>
          <th scope="col"><i class="step">1</i> score
            <small><span class="query">query</span> · <span class="key">key</span></small></th>
          <th scope="col" class="widest"><span class="weight">weight</span>
            <small>softmax(<wbr>score/τ)</small></th>
          <th scope="col" class="value">value</th>
          <th scope="col"><i class="step">2</i> <span class="weight">weight</span>
            × <span class="value">value</span></th>
        </tr></thead>
        <tbody></tbody>
        <tfoot><tr>
          <th scope="row" colspan="3"><i class="step">3</i> sum</th><td class="value" colspan="2"></td>
        </tr></tfoot>
      </table>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { queries, keys, values, start } = this.data;
    const select = this.$("select");
    select.append(...queries.map(([name], i) => make("option", { value: i }, name)));
    select.value = start;
    if (queries.length === 1) {
      select.replaceWith(make("strong", { class: "query" }, queries[0][0]));
      this.$("label").replaceWith(make("span", {}, "query")); // nothing to choose: no control
    }
    this.$("tbody").append(
      ...keys.map(([name, vector], j) =>
        make("tr", {},
          make("th", { scope: "row" }, make("span", { class: "key" }, name), " ",
            make("small", {}, vector)),
          make("td", { class: "score" }),
          make("td", {},
            make("div", { class: "share" },
              make("span", { class: "bar", "aria-hidden": true }, make("i")),
              make("span", { class: "number" }))),
          make("td", { class: "value", "data-value": values[j] }, String(values[j])),
          make("td", { class: "product" }))),
    );
    select.addEventListener("change", () => this.show(Number(select.value)));
    this.$("input").addEventListener("input", () => this.show());
    this.show(start);
  }

  show(asked = this.asked) {
    this.asked = asked;
    const { queries, keys, values, unit } = this.data;
    const [, vector, scores] = queries[asked];
    const tau = temperature(Number(this.$("input").value));

    const weights = softmax(scores, tau);
    const products = weights.map((weight, j) => weight * values[j]);
    const result = sum(products);

    const shown = tau === Infinity ? "∞" : tau === 0 ? "0" : tau.toPrecision(2);
    const limit = { 0: "0, a dictionary", "∞": "infinite, the plain mean" }[shown];
    this.$("input").setAttribute("aria-valuetext", `temperature ${limit ?? shown}`);
    this.$("output").textContent = shown;
    this.$(".ask small").textContent = vector;
    this.shadowRoot.querySelectorAll("tbody tr").forEach((row, j) => {
      const [, score, share, , product] = row.cells;
      score.dataset.score = scores[j];
      score.textContent = scores[j].toFixed(3);
      share.dataset.weight = weights[j];
      share.querySelector(".number").textContent = weights[j].toFixed(3);
      share.querySelector(".bar i").style.width = `${100 * weights[j]}%`;
      product.dataset.product = products[j];
      product.textContent = products[j].toFixed(3);
    });
    const cell = this.$("tfoot td");
    cell.dataset.result = result;
    cell.textContent = result.toFixed(3) + unit;
    const names = keys.map(([name]) => name);
    this.$(".says").textContent = `${inWords(names, weights)}; result ${result.toFixed(2)}${unit}`;
  }
}

customElements.define("gat-lookup", Lookup);
