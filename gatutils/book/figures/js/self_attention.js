// Self-attention step by step, in cell grids: `self_attention` in gatutils.book.figures.

const STEPS = ["words", "project", "score", "scale", "mask", "softmax", "combine", "heads"];

// gatutils.attend with gatutils.ScaledDot, for all queries at once; seen(i, j) is the mask.
function attend(Q, K, V, seen) {
  const raw = times(Q, turned(K));
  const scaled = raw.map((row) => row.map((x) => x / Math.sqrt(Q[0].length)));
  const masked = scaled.map((row, i) => row.map((x, j) => (seen(i, j) ? x : -Infinity)));
  const weights = masked.map((row) => softmax(row, 1));
  return { Q, K, V, raw, scaled, masked, weights, context: times(weights, V) };
}

const ROLES = ["query", "key", "value"];
const letter = (name, above = "") => `<i>${name}</i>${above && `<sup>${above}</sup>`}`;
const W = ["Q", "K", "V"].map((name) => `<i>W</i><sub>${name}</sub>`);

// What stands in the stage at each step. A product has the matrix on its left, and above each
// result the matrix that it is multiplied by; other results stand beside what they are made from.
const LAYOUT = [
  [{ left: "X" }],
  [{ left: "X", parts: [["W0", "P0"], ["W1", "P1"], ["W2", "P2"]] }],
  [{ left: "P0", parts: [["KT", "raw"]] }],
  [{ left: "raw", sign: "÷ √d", then: "scaled" }],
  [{ left: "scaled", sign: "mask", then: "masked" }],
  [{ left: "masked", sign: "softmax", then: "weights" }],
  [{ left: "weights", parts: [["P2", "context"]] }],
  [{ left: "a0", parts: [["v0", "h0"]] }, { left: "a1", parts: [["v1", "h1"]] }, { left: "joined" }],
];
const RESULT = ["X", "P0", "raw", "scaled", "masked", "weights", "context", "h0"];

// On a narrow page the grids of a step stand one below the other, and wherever a finger is to touch
// a cell: beside each other they would be narrower than a finger.
const STACKED = `
  .stepper { grid-template-columns: auto 1fr auto; }
  .stepper b { display: block; font-weight: 600; text-align: center; }
  .steps { grid-column: 1 / -1; grid-row: 2; }
  .steps span { clip-path: inset(50%); height: 1px; inset: 0; overflow: hidden;
    position: absolute; width: 1px; }
  .steps label { font-size: 0.95rem; min-height: 2.5rem; padding-top: 0.5rem; }
  .what { font-size: 0.9rem; min-height: 4.5em; }
  .part:not([hidden]) { display: flex; }
  .stage { flex-direction: column; align-items: center; gap: 0.75rem; }
  .stage, .product, .pair { width: 100%; }
  .product, .pair { display: flex; flex-direction: column; align-items: center; gap: 0.75rem; }
  .product .other, .product.other { display: none; }
  .matrix { --size: min(4rem, (100cqi - var(--label) - 0.5rem) / var(--columns)); }
  .matrix p { order: -1; padding: 0 0 0 var(--label) !important; }
  table { font-size: 0.9rem; }
  .sign::after { content: " ↓"; display: inline; font-size: 1em; }
  .says { bottom: 0; border-top: 1px solid var(--hair); font-size: 0.9rem; min-height: 4.6em;
    position: sticky; z-index: 2; }`;

class SelfAttention extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 48rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    button { background: transparent; border: 1px solid var(--muted); border-radius: 0.3rem;
      cursor: pointer; min-height: 2.5rem; min-width: 2.75rem; padding: 0 0.6rem; }
    [aria-disabled=true] { border-color: var(--hair); color: var(--masked); }
    .stepper { align-items: center; display: grid; gap: 0.25rem 0.4rem;
      grid-template-columns: auto 1fr auto; }
    .stepper b { display: none; }
    .steps { display: flex; }
    .steps label { flex: 1; font-size: 0.85rem; line-height: 1.3; padding: 0.35rem 0 0.5rem;
      position: relative; text-align: center; }
    .steps small { display: block; font-size: 1em; }
    [type=radio] { appearance: none; border-bottom: 4px solid var(--hair); cursor: pointer;
      inset: 0; position: absolute; }
    :checked, :checked ~ * { border-color: var(--now); color: var(--now); }
    .what { margin: 0.75rem 0; min-height: 3em; text-wrap: pretty; }
    .choices { display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem; justify-content: center; }
    .choice { align-items: center; display: flex; gap: 0.4rem; margin-bottom: 0.75rem; }
    .choice[hidden], .part { display: none; }
    .choice [aria-pressed=true] { border-color: var(--now); box-shadow: inset 0 0 0 1px var(--now);
      color: var(--now); font-weight: 600; }

    .stage { --size: min(3.25rem, (100cqi - var(--labels) * var(--label) - var(--gaps) * 0.75rem)
        / var(--count)); align-items: start; display: flex; flex-wrap: wrap; gap: 1.25rem 2rem;
      justify-content: center; }
    .product { align-items: end; display: grid; gap: 0.5rem 0.75rem; }
    .product > :first-child { grid-area: 2 / 1; }
    .pair { align-items: center; display: flex; gap: 0.75rem; }
    .break { flex-basis: 100%; height: 0; margin-top: -1.25rem; }
    .matrix { display: flex; flex-direction: column; }
    .matrix p { line-height: 1.3; margin: 0; padding: 0.3rem 0 0; text-align: center; }
    .above p { order: -1; padding: 0 0 0.1rem; }
    sub, sup { line-height: 0; }
    .left p, .alone p { padding-inline-start: var(--label); }
    table { border-collapse: separate; border-spacing: 0; font-size: 0.8rem; table-layout: fixed;
      width: max-content; }
    tr { display: flex; position: relative; }
    th, td { flex: none; overflow: hidden; padding: 0; white-space: nowrap; width: var(--size); }
    th { font-weight: 400; line-height: 1.6; text-align: center; text-overflow: ellipsis; }
    tr > :is(th[scope=row], .corner) { line-height: 2.5rem; padding-inline-end: 0.4rem;
      text-align: end; width: var(--label); }
    tr > .corner { line-height: 1.6; }
    td[data-i] { --ink: currentColor; background-color: color-mix(in srgb, var(--ink)
        calc(5% + var(--w) * var(--most, 31%)), transparent); border: solid var(--ground);
      border-width: 0 1px 1px 0; box-sizing: border-box; cursor: pointer; height: 2.5rem;
      line-height: 2.45rem; position: relative; scroll-margin-block: 2rem 7rem;
      text-align: center; }
    td.second[data-i] { border-inline-start: 3px double var(--value); }
    .plain td[data-i] { --most: 9%; }
    .query td[data-i] { --ink: var(--query); } .key td[data-i] { --ink: var(--key); }
    .value td[data-i] { --ink: var(--value); } .weight td[data-i] { --ink: var(--weight); }
    td[data-i] { color: var(--pst-color-text-base, CanvasText); }
    td.masked[data-i] { background: repeating-linear-gradient(135deg,
      color-mix(in srgb, var(--masked) 70%, transparent) 0 1px, transparent 1px 5px); }
    td.masked span { background: var(--ground); border-radius: 0.2em; padding: 0 0.25em; }
    td::after { border: 0 solid var(--now); content: ""; inset: 0; pointer-events: none;
      position: absolute; }
    .row::after { border-block-width: 2px; }
    .row.first::after { border-inline-start-width: 2px; }
    .row.last::after { border-inline-end-width: 2px; }
    .column::after { border-inline-width: 2px; }
    .column.top::after { border-block-start-width: 2px; }
    .column.bottom::after { border-block-end-width: 2px; }
    .cell::after { border-width: 2px; }
    td[aria-selected=true] { font-weight: 700; }
    td[aria-selected=true]::after { border: 3px solid currentColor; }
    td:focus-visible { outline-offset: 1px; overflow: visible; z-index: 1; }
    .sign { font-size: 0.9rem; text-align: center; }
    .sign::after { content: "→"; display: block; font-size: 1.3rem; line-height: 1; }
    .says { background: var(--ground); margin: 1rem 0 0; min-height: 3em; padding: 0.25rem 0;
      text-wrap: balance; }
    @media (prefers-reduced-motion: no-preference) {
      td[data-i] { transition: background-color 0.3s; }
      .fresh { animation: come 0.3s ease-out; }
      @keyframes come { from { transform: translateY(0.5rem); } }
    }
    @media not (pointer: coarse) {
      @container (min-width: 40.01rem) {
        /* The rows of a result go on from those of the matrix on its left. */
        .result th[scope=row], .result .corner, .above ~ .above th[scope=row], .above .corner {
          clip-path: inset(50%); position: absolute; width: 1px; }
        .above th[scope=row] { inset-inline-end: 100%; position: absolute; }
      }
    }
    @container (max-width: 40rem) {${STACKED}}
    @media (pointer: coarse) {${STACKED}}`;

  static page = `
    <div class="live">
      <div class="stepper">
        <button type="button" aria-label="previous step">←</button>
        <b aria-hidden="true"></b>
        <div class="steps" role="radiogroup" aria-label="step"></div>
        <button type="button" aria-label="next step">→</button>
      </div>
      <p class="what" aria-live="polite"></p>
      <div class="choices">
        <div class="choice mask" role="group" aria-label="mask"><span>mask</span>
          <button type="button">none</button><button type="button">causal</button></div>
        <div class="choice part" role="group" aria-label="shown"></div>
      </div>
      <div class="stage"></div>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { words, features, dimensions, start, step, causal } = this.data;
    this.at = {}; // grid -> the cell that was chosen there last
    this.part = 0;
    const longest = Math.max(...[...words, ...features, ...dimensions].map((name) => name.length));
    this.style.setProperty("--label", `${Math.min(Math.max(0.5 * longest + 0.7, 2), 6)}rem`);
    this.$(".steps").append(...STEPS.map((name, k) => make("label", {},
      make("input", { type: "radio", name: "step" }), make("small", {}, String(k + 1)),
      make("span", {}, name))));
    this.all("[type=radio]").forEach((radio, k) => {
      radio.addEventListener("change", () => this.show({ step: k + 1 }));
    });
    this.all(".stepper button").forEach((button, forth) => {
      button.addEventListener("click", () =>
        this.show({ step: Math.min(Math.max(this.step + (forth ? 1 : -1), 1), STEPS.length) }));
    });
    this.all(".mask button").forEach((button, k) => {
      button.addEventListener("click", () => this.show({ causal: k === 1 }));
    });
    const stage = this.$(".stage");
    for (const kind of ["focusin", "click"])
      stage.addEventListener(kind, (event) => {
        const cell = event.target.closest("td[data-i]");
        if (cell) this.choose(cell);
      });
    stage.addEventListener("keydown", (event) => this.move(event));
    this.row = start;
    this.show({ step, causal });
  }

  // Every matrix of every step: its numbers, names, role, how a cell came about, and from where.
  matrices() {
    const { words, features, dimensions, joined, X, W: given, heads } = this.data;
    const seen = (i, j) => !this.causal || j <= i;
    const project = (matrices) => matrices.map((w) => times(X, turned(w)));
    const P = project(given), all = project(heads);
    const one = attend(...P, seen);
    const d = dimensions.length, half = d / 2;
    const root = (width) => {
      const exact = Math.sqrt(width);
      return `√${width}${Number.isInteger(exact) ? ` = ${exact}` : ` = ${two(exact)}`}`;
    };
    const projection = (role, w, rows, names) => (i, j) =>
      `The ${role} of “${words[i]}” in dimension ${names[j]} is `
        + `${written(X[i], w[j])} = ${trimmed(rows[i][j])}.`;
    const sharesOf = (scores, i, j) => {
      const kept = scores[i].filter((x) => x > -Infinity);
      const powers = kept.map(Math.exp);
      return `${kept.length > 1 ? `exp\u00a0${two(scores[i][j])} / (${kept.map((x) => `exp\u00a0${two(x)}`).join(" + ")})`
        + ` = ${two(Math.exp(scores[i][j]))} / ${two(sum(powers))}` : "exp x / exp x"}`;
    };
    const dotted = (i, j) => `The score of the query of “${words[i]}” and the key of “${words[j]}” is `
      + `${written(one.Q[i], one.K[j])} = ${two(one.raw[i][j])}`;
    const found = {
      X: { title: `${letter("X")} words`, label: "X, the words", of: X, columns: features, write: trimmed,
        says: (i, j) => `In X the row of “${words[i]}” has ${trimmed(X[i][j])} in the column `
          + `${features[j]}. X is given.` },
      KT: { title: `${letter("K", "⊤")} keys`, label: "K transposed, the keys", of: turned(one.K),
        rows: dimensions, columns: words, role: "key", write: trimmed,
        says: (i, j) => projection("key", given[1], one.K, dimensions)(j, i) },
      raw: { title: `${letter("Q")} ${letter("K", "⊤")} scores`, label: "scores", of: one.raw, columns: words,
        says: (i, j) => `${dotted(i, j)}.`, from: (i, j) => [["P0", i], ["KT", null, j]] },
      scaled: { title: `${letter("Q")} ${letter("K", "⊤")} / √<i>d</i>`, label: "scaled scores",
        of: one.scaled, columns: words,
        says: (i, j) => `${dotted(i, j)}; divided by ${root(d)} it is ${two(one.scaled[i][j])}.`,
        from: (i, j) => [["raw", i, j]] },
      masked: { title: "masked scores", label: "masked scores", of: one.masked, columns: words,
        says: (i, j) => seen(i, j)
          ? `“${words[i]}” may attend to “${words[j]}”, so the score ${two(one.scaled[i][j])} stays.`
          : `“${words[i]}” must not attend to “${words[j]}”, a later word, so the score `
            + `${two(one.scaled[i][j])} becomes −∞.`,
        from: (i, j) => [["scaled", i, j]] },
      weights: { title: `${letter("α")} weights`, label: "weights", of: one.weights, columns: words,
        role: "weight",
        says: (i, j) => seen(i, j)
          ? `The weight of “${words[i]}” on “${words[j]}” is ${sharesOf(one.masked, i, j)} = `
            + `${two(one.weights[i][j])}.`
          : `The weight of “${words[i]}” on “${words[j]}” is exactly 0, because “${words[j]}” is masked.`,
        from: (i) => [["masked", i]] },
      context: { title: `${letter("α")} ${letter("V")} contexts`, label: "contexts", of: one.context,
        columns: dimensions, role: "value",
        says: (i, j) => `The context of “${words[i]}” in dimension ${dimensions[j]} is `
          + `${written(one.weights[i], turned(P[2])[j], two)} = ${two(one.context[i][j])}.`,
        from: (i, j) => [["weights", i], ["P2", null, j]] },
    };
    ROLES.forEach((role, k) => {
      const name = "QKV"[k];
      found[`W${k}`] = { title: `${W[k]}<sup>⊤</sup>`, label: `W ${name} transposed`, of: turned(given[k]),
        rows: features, columns: dimensions, write: trimmed,
        says: (i, j) => `The parameter of W${name} that leads from ${features[i]} to dimension `
          + `${dimensions[j]} is ${trimmed(given[k][j][i])}.` };
      const plural = role === "query" ? "queries" : `${role}s`;
      found[`P${k}`] = { title: `${letter(name)} ${plural}`, label: plural, of: P[k],
        columns: dimensions, role, write: trimmed, says: projection(role, given[k], P[k], dimensions),
        from: (i, j) => [["X", i], [`W${k}`, null, j]] };
    });
    const side = [0, 1].map((m) => {
      const part = (rows) => rows.slice(m * half, (m + 1) * half);
      const [q, k, v] = all.map((rows) => rows.map(part));
      const head = attend(q, k, v, seen), names = part(joined);
      const shown = (i) => `(${q[i].map(trimmed).join(", ")})`;
      found[`a${m}`] = { title: `${letter("α", m + 1)} weights`, label: `weights of head ${m + 1}`,
        of: head.weights, columns: words, role: "weight",
        says: (i, j) => seen(i, j)
          ? `In head ${m + 1} the query of “${words[i]}” is ${shown(i)}; with the key of “${words[j]}”, `
            + `(${k[j].map(trimmed).join(", ")}), its score is ${two(head.raw[i][j])} / √${half} = `
            + `${two(head.scaled[i][j])}, and the softmax gives ${two(head.weights[i][j])}.`
          : `In head ${m + 1} “${words[j]}” is masked for “${words[i]}”, so the weight is exactly 0.` };
      found[`v${m}`] = { title: `${letter("V", m + 1)} values`, label: `values of head ${m + 1}`, of: v,
        columns: names, role: "value", write: trimmed,
        says: (i, j) => `In head ${m + 1} the value of “${words[i]}” in dimension ${names[j]} is `
          + `${written(X[i], heads[2][m * half + j])} = ${trimmed(v[i][j])}.` };
      found[`h${m}`] = { title: `head ${m + 1}`, label: `head ${m + 1}`, of: head.context, columns: names,
        role: "value",
        says: (i, j) => `Head ${m + 1} finds for “${words[i]}” in dimension ${names[j]}: `
          + `${written(head.weights[i], turned(v)[j], two)} = ${two(head.context[i][j])}.`,
        from: (i, j) => [[`a${m}`, i], [`v${m}`, null, j]] };
      return head.context;
    });
    const both = side[0].map((row, i) => [...row, ...side[1][i]]);
    found.joined = { title: "[head 1 ‖ head 2]", label: "both heads, joined", of: both, columns: joined,
      role: "value",
      says: (i, j) => `The joined row of “${words[i]}” has ${two(both[i][j])} in this column, which is `
        + `column ${joined[j]} of head ${1 + (j >= half)}.`,
      from: (i, j) => [[`h${Number(j >= half)}`, i, j % half]] };
    for (const matrix of Object.values(found)) {
      matrix.rows ??= words;
      matrix.write ??= two;
      matrix.from ??= () => [];
    }
    return found;
  }

  // What the step does, and why.
  what() {
    const { words, dimensions, features } = this.data, d = dimensions.length;
    return [
      `Each row of X describes one of the ${words.length} words by ${features.length} numbers.`,
      "Three learned matrices turn each word into a query (what it looks for), a key (what it is "
        + "found by) and a value (what it gives).",
      "Every query meets every key: the score of two words is the dot product of the query of one "
        + "and the key of the other.",
      `The scores are divided by √d, here √${d}. Without this step they would grow with the number `
        + "of dimensions, and the softmax would put nearly all weight on one word.",
      this.causal ? "The causal mask: no word may attend to a later one, so these scores become −∞."
        : "Without a mask every word may attend to every word, itself included.",
      `The softmax turns each row of scores into weights that sum to 1${this.causal
        ? "; a masked word gets exactly 0" : ""}.`,
      "The context of a word, its new vector, is the sum of the values, each times its weight.",
      `Two heads attend independently of each other, each with projections of its own to ${d / 2} `
        + "dimensions. Their contexts are joined; in a layer, one more matrix mixes the columns.",
    ][this.step - 1];
  }

  show({ step = this.step, causal = this.causal } = {}) {
    const fresh = step !== this.step;
    Object.assign(this, { step, causal });
    this.found = this.matrices();
    if (fresh) {
      this.grid = this.step === 2 ? `P${this.part % 3}` : this.step === 8 ? `h${this.part % 2}` : RESULT[step - 1];
      this.build();
    }
    this.all("[type=radio]")[step - 1].checked = true;
    this.$(".stepper b").textContent = `${step} of ${STEPS.length}: ${STEPS[step - 1]}`;
    this.all(".stepper button").forEach((button, forth) => {
      button.setAttribute("aria-disabled", step === (forth ? STEPS.length : 1));
    });
    this.$(".mask").hidden = step < 5;
    this.all(".mask button").forEach((button, k) => {
      button.setAttribute("aria-pressed", causal === (k === 1));
    });
    this.say(".what", this.what());
    this.paint();
  }

  say(selector, text) {
    if (this.$(selector).textContent !== text) this.$(selector).textContent = text;
  }

  // The grids of a step, empty.
  build() {
    const layout = LAYOUT[this.step - 1];
    this.cells = {};
    const blocks = layout.map(({ left, parts, sign, then }, b) => {
      if (then) return make("div", { class: "pair" }, this.draw(left, "left"),
        make("div", { class: "sign", "aria-hidden": true }, sign), this.draw(then, "result"));
      if (!parts) return make("div", { class: "pair alone" }, this.draw(left, "alone"));
      const block = make("div", { class: "product" }, this.draw(left, "left"));
      parts.forEach((pair, k) => pair.forEach((name, r) => {
        const matrix = this.draw(name, r ? "result" : "above");
        matrix.style.gridArea = `${r + 1} / ${k + 2}`;
        matrix.dataset.part = k;
        block.append(matrix);
      }));
      if (layout.length > 1) block.dataset.part = b;
      return block;
    });
    if (layout.length > 2) blocks.splice(-1, 0, make("div", { class: "break" }));
    const side = layout.filter(({ parts }, _, all) => parts || all.length === 1);
    const wide = (name) => this.found[name].columns.length;
    const stage = this.$(".stage");
    stage.style.setProperty("--count", sum(side.map(({ left, parts = [], then }) =>
      wide(left) + sum(parts.map(([, result]) => wide(result))) + (then ? wide(then) : 0))));
    stage.style.setProperty("--labels", side.length + (side[0].then ? 2 : 0));
    stage.style.setProperty("--gaps", sum(side.map(({ parts = [] }) => parts.length + 2)));
    stage.replaceChildren(...blocks);

    const names = { 2: ["queries", "keys", "values"], 8: ["head 1", "head 2"] }[this.step] ?? [];
    this.$(".part").hidden = !names.length;
    this.$(".part").replaceChildren(...names.map((name, k) => {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => {
        this.grid = `${this.step === 2 ? "P" : "h"}${k}`;
        this.paint();
      });
      return button;
    }));
  }

  draw(name, place) {
    const { title, label, rows, columns, role = "plain" } = this.found[name];
    const heading = make("p", role === "plain" ? {} : { class: role });
    heading.innerHTML = title;
    const body = rows.map((row, i) => make("tr", { role: "row" },
      make("th", { scope: "row", role: "rowheader" }, row),
      ...columns.map((_, j) => make("td", { role: "gridcell", "data-i": i, "data-j": j }, make("span")))));
    this.cells[name] = body.map((row) => [...row.cells].slice(1));
    for (const cell of this.cells[name].flat()) cell.dataset.grid = name;
    const table = make("table", { role: "grid", "aria-label": label },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, make("td", { class: "corner" }),
        ...columns.map((column) => make("th", { scope: "col", role: "columnheader" }, column)))),
      make("tbody", { role: "rowgroup" }, ...body));
    const matrix = make("div", { class: `matrix ${place} ${place === "left" ? "" : "fresh"}` },
      make("div", { class: role }, table), heading);
    matrix.style.setProperty("--columns", columns.length);
    return matrix;
  }

  // The numbers, the chosen cell, and the frames around what it came from.
  paint() {
    const at = (name) => {
      if (this.at[name]) return this.at[name];
      const { of } = this.found[name], i = Math.min(this.row, of.length - 1);
      return [i, of[i].indexOf(Math.max(...of[i]))]; // first the largest number of the row
    };
    const [ci, cj] = at(this.grid), from = this.found[this.grid].from(ci, cj);
    for (const [name, rows] of Object.entries(this.cells)) {
      const { of, write, role } = this.found[name], [ri, rj] = at(name);
      const most = role === "weight" ? 1
        : Math.max(...of.flat().map(Math.abs).filter(Number.isFinite)) || 1;
      const source = from.find(([grid]) => grid === name);
      rows.forEach((row, i) => row.forEach((cell, j) => {
        const x = of[i][j];
        const hidden = this.causal && j > i && ["masked", "weights", "a0", "a1"].includes(name);
        const chosen = name === this.grid && i === ci && j === cj;
        cell.firstChild.textContent = write(x);
        cell.dataset.value = x;
        cell.style.setProperty("--w", Number.isFinite(x) ? Math.abs(x) / most : 0);
        cell.setAttribute("aria-selected", chosen);
        cell.setAttribute("tabindex", i === ri && j === rj ? 0 : -1);
        const frame = !source ? "" : source[1] == null
          ? j === source[2] && `column ${i === 0 ? "top" : ""} ${i === rows.length - 1 ? "bottom" : ""}`
          : source[2] == null
            ? i === source[1] && `row ${j === 0 ? "first" : ""} ${j === row.length - 1 ? "last" : ""}`
            : i === source[1] && j === source[2] && "cell";
        const second = name === "joined" && j === row.length / 2 ? "second" : "";
        cell.className = `${hidden ? "masked" : second} ${frame || ""}`.trim();
      }));
    }
    const part = Number(this.grid.match(/^[WPavh](\d)/)?.[1] ?? this.part);
    if (this.step === 2 || this.step === 8) {
      this.part = part;
      for (const matrix of this.all("[data-part]"))
        matrix.classList.toggle("other", Number(matrix.dataset.part) !== part
          && (this.step === 8 ? matrix.matches(".product") : true));
      this.all(".part button").forEach((button, k) => button.setAttribute("aria-pressed", k === part));
    }
    this.say(".says", this.found[this.grid].says(ci, cj));
  }

  choose(cell) {
    const { grid, i, j } = cell.dataset, at = [Number(i), Number(j)];
    if (grid === this.grid && String(this.at[grid]) === String(at)) return;
    this.grid = grid;
    this.at[grid] = at;
    if (this.found[grid].rows === this.data.words) this.row = at[0];
    this.paint();
  }

  // Arrow keys move inside a grid, Home and End along its row.
  move(event) {
    const cell = event.target.closest("td[data-i]");
    if (!cell) return;
    const rows = this.cells[cell.dataset.grid];
    const [i, j] = [Number(cell.dataset.i), Number(cell.dataset.j)];
    const last = rows[0].length - 1;
    const to = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1],
      ArrowRight: [i, j + 1], Home: [i, 0], End: [i, last] }[event.key];
    if (!to) return;
    event.preventDefault(); // the page does not scroll meanwhile
    (rows[to[0]]?.[to[1]] ?? cell).focus();
  }
}

customElements.define("gat-self", SelfAttention);
