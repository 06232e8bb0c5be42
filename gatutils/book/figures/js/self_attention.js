// Self-attention step by step, in cell grids: `self_attention` in gatutils.book.figures.

const STEPS = [say`words`, say`project`, say`score`, say`scale`, say`mask`, say`softmax`, say`combine`,
  say`heads`];

// gatutils.attend with gatutils.ScaledDot, for all queries at once; seen(i, j) is the mask.
function attend(Q, K, V, seen) {
  const raw = times(Q, turned(K));
  const scaled = raw.map((row) => row.map((x) => x / Math.sqrt(Q[0].length)));
  const masked = scaled.map((row, i) => row.map((x, j) => (seen(i, j) ? x : -Infinity)));
  const weights = masked.map((row) => softmax(row, 1));
  return { Q, K, V, raw, scaled, masked, weights, context: times(weights, V) };
}

const ROLES = ["query", "key", "value"];
const PLURALS = [say`queries`, say`keys`, say`values`];
const numbered = (number) => say`head ${number}`;
const letter = (name, above = "") => `<i>${name}</i>${above && `<sup>${above}</sup>`}`;
const W = ["Q", "K", "V"].map((name) => `<i>W</i><sub>${name}</sub>`);

// What stands in the stage at each step. A product has the matrix on its left, and above each
// result the matrix that it is multiplied by; other results stand beside what they are made from.
const LAYOUT = [
  [{ left: "X" }],
  [{ left: "X", parts: [["W0", "P0"], ["W1", "P1"], ["W2", "P2"]] }],
  [{ left: "P0", parts: [["KT", "raw"]] }],
  [{ left: "raw", sign: "÷ √d", then: "scaled" }],
  [{ left: "scaled", sign: say`mask`, then: "masked" }],
  [{ left: "masked", sign: say`softmax`, then: "weights" }],
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
        <button type="button" aria-label="${say`previous step`}">←</button>
        <b aria-hidden="true"></b>
        <div class="steps" role="radiogroup" aria-label="${say`step`}"></div>
        <button type="button" aria-label="${say`next step`}">→</button>
      </div>
      <p class="what" aria-live="polite"></p>
      <div class="choices">
        <div class="choice mask" role="group" aria-label="${say`mask`}"><span>${say`mask`}</span>
          <button type="button">${say`none`}</button><button type="button">${say`causal`}</button></div>
        <div class="choice part" role="group" aria-label="${say`shown`}"></div>
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
    const projection = (role, w, rows, names) => (i, j) => {
      const word = words[i], name = names[j];
      const equation = `${written(X[i], w[j])} = ${trimmed(rows[i][j])}`;
      return role === "query" ? say`The query of “${word}” in dimension ${name} is ${equation}.`
        : role === "key" ? say`The key of “${word}” in dimension ${name} is ${equation}.`
          : say`The value of “${word}” in dimension ${name} is ${equation}.`;
    };
    const sharesOf = (scores, i, j) => {
      const kept = scores[i].filter((x) => x > -Infinity);
      const powers = kept.map(Math.exp);
      return `${kept.length > 1 ? `exp\u00a0${two(scores[i][j])} / (${kept.map((x) => `exp\u00a0${two(x)}`).join(" + ")})`
        + ` = ${two(Math.exp(scores[i][j]))} / ${two(sum(powers))}` : "exp x / exp x"}`;
    };
    const dotted = (i, j) => `${written(one.Q[i], one.K[j])} = ${two(one.raw[i][j])}`;
    const found = {
      X: { title: `${letter("X")} ${say`words`}`, label: say`X, the words`, of: X, columns: features,
        write: trimmed,
        says: (i, j) => {
          const word = words[i], number = trimmed(X[i][j]), name = features[j];
          return say`In X the row of “${word}” has ${number} in the column ${name}. X is given.`;
        } },
      KT: { title: `${letter("K", "⊤")} ${PLURALS[1]}`, label: say`K transposed, the keys`, of: turned(one.K),
        rows: dimensions, columns: words, role: "key", write: trimmed,
        says: (i, j) => projection("key", given[1], one.K, dimensions)(j, i) },
      raw: { title: `${letter("Q")} ${letter("K", "⊤")} ${say`scores`}`, label: say`scores`, of: one.raw,
        columns: words,
        says: (i, j) => {
          const query = words[i], key = words[j], equation = dotted(i, j);
          return say`The score of the query of “${query}” and the key of “${key}” is ${equation}.`;
        },
        from: (i, j) => [["P0", i], ["KT", null, j]] },
      scaled: { title: `${letter("Q")} ${letter("K", "⊤")} / √<i>d</i>`, label: say`scaled scores`,
        of: one.scaled, columns: words,
        says: (i, j) => {
          const query = words[i], key = words[j], equation = dotted(i, j);
          const scale = root(d), number = two(one.scaled[i][j]);
          return say`The score of the query of “${query}” and the key of “${key}” is ${equation}; divided by ${scale} it is ${number}.`;
        },
        from: (i, j) => [["raw", i, j]] },
      masked: { title: say`masked scores`, label: say`masked scores`, of: one.masked, columns: words,
        says: (i, j) => {
          const query = words[i], key = words[j], score = two(one.scaled[i][j]);
          return seen(i, j) ? say`“${query}” may attend to “${key}”, so the score ${score} stays.`
            : say`“${query}” must not attend to “${key}”, a later word, so the score ${score} becomes −∞.`;
        },
        from: (i, j) => [["scaled", i, j]] },
      weights: { title: `${letter("α")} ${say`weights`}`, label: say`weights`, of: one.weights, columns: words,
        role: "weight",
        says: (i, j) => {
          const query = words[i], key = words[j];
          const equation = `${sharesOf(one.masked, i, j)} = ${two(one.weights[i][j])}`;
          return seen(i, j) ? say`The weight of “${query}” on “${key}” is ${equation}.`
            : say`The weight of “${query}” on “${key}” is exactly 0, because “${key}” is masked.`;
        },
        from: (i) => [["masked", i]] },
      context: { title: `${letter("α")} ${letter("V")} ${say`contexts`}`, label: say`contexts`, of: one.context,
        columns: dimensions, role: "value",
        says: (i, j) => {
          const word = words[i], name = dimensions[j];
          const equation = `${written(one.weights[i], turned(P[2])[j], two)} = ${two(one.context[i][j])}`;
          return say`The context of “${word}” in dimension ${name} is ${equation}.`;
        },
        from: (i, j) => [["weights", i], ["P2", null, j]] },
    };
    ROLES.forEach((role, k) => {
      const name = "QKV"[k];
      found[`W${k}`] = { title: `${W[k]}<sup>⊤</sup>`, label: say`W ${name} transposed`, of: turned(given[k]),
        rows: features, columns: dimensions, write: trimmed,
        says: (i, j) => {
          const [from, to, number] = [features[i], dimensions[j], trimmed(given[k][j][i])];
          return say`The parameter of W${name} that leads from ${from} to dimension ${to} is ${number}.`;
        } };
      const plural = PLURALS[k];
      found[`P${k}`] = { title: `${letter(name)} ${plural}`, label: plural, of: P[k],
        columns: dimensions, role, write: trimmed, says: projection(role, given[k], P[k], dimensions),
        from: (i, j) => [["X", i], [`W${k}`, null, j]] };
    });
    const side = [0, 1].map((m) => {
      const part = (rows) => rows.slice(m * half, (m + 1) * half);
      const [q, k, v] = all.map((rows) => rows.map(part));
      const head = attend(q, k, v, seen), names = part(joined);
      const number = m + 1, shown = (vector) => `(${vector.map(trimmed).join(", ")})`;
      found[`a${m}`] = { title: `${letter("α", number)} ${say`weights`}`, label: say`weights of head ${number}`,
        of: head.weights, columns: words, role: "weight",
        says: (i, j) => {
          const word = words[i], other = words[j], query = shown(q[i]), key = shown(k[j]);
          const score = `${two(head.raw[i][j])} / √${half} = ${two(head.scaled[i][j])}`;
          const weight = two(head.weights[i][j]);
          return seen(i, j)
            ? say`In head ${number} the query of “${word}” is ${query}; with the key of “${other}”, ${key}, its score is ${score}, and the softmax gives ${weight}.`
            : say`In head ${number} “${other}” is masked for “${word}”, so the weight is exactly 0.`;
        } };
      found[`v${m}`] = { title: `${letter("V", number)} ${PLURALS[2]}`, label: say`values of head ${number}`,
        of: v, columns: names, role: "value", write: trimmed,
        says: (i, j) => {
          const word = words[i], name = names[j];
          const equation = `${written(X[i], heads[2][m * half + j])} = ${trimmed(v[i][j])}`;
          return say`In head ${number} the value of “${word}” in dimension ${name} is ${equation}.`;
        } };
      found[`h${m}`] = { title: numbered(number), label: numbered(number), of: head.context,
        columns: names, role: "value",
        says: (i, j) => {
          const word = words[i], name = names[j];
          const equation = `${written(head.weights[i], turned(v)[j], two)} = ${two(head.context[i][j])}`;
          return say`Head ${number} finds for “${word}” in dimension ${name}: ${equation}.`;
        },
        from: (i, j) => [[`a${m}`, i], [`v${m}`, null, j]] };
      return head.context;
    });
    const row = side[0].map((one, i) => [...one, ...side[1][i]]);
    found.joined = { title: `[${numbered(1)} ‖ ${numbered(2)}]`, label: say`both heads, joined`, of: row,
      columns: joined, role: "value",
      says: (i, j) => {
        const [word, number, column, head] = [words[i], two(row[i][j]), joined[j], 1 + (j >= half)];
        return say`The joined row of “${word}” has ${number} in this column, which is column ${column} of head ${head}.`;
      },
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
    const count = words.length, numbers = features.length, half = d / 2;
    return [
      say`Each row of X describes one of the ${count} words by ${numbers} numbers.`,
      say`Three learned matrices turn each word into a query (what it looks for), a key (what it is found by) and a value (what it gives).`,
      say`Every query meets every key: the score of two words is the dot product of the query of one and the key of the other.`,
      say`The scores are divided by √d, here √${d}. Without this step they would grow with the number of dimensions, and the softmax would put nearly all weight on one word.`,
      this.causal ? say`The causal mask: no word may attend to a later one, so these scores become −∞.`
        : say`Without a mask every word may attend to every word, itself included.`,
      this.causal
        ? say`The softmax turns each row of scores into weights that sum to 1; a masked word gets exactly 0.`
        : say`The softmax turns each row of scores into weights that sum to 1.`,
      say`The context of a word, its new vector, is the sum of the values, each times its weight.`,
      say`Two heads attend independently of each other, each with projections of its own to ${half} dimensions. Their contexts are joined; in a layer, one more matrix mixes the columns.`,
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
    const count = STEPS.length, name = STEPS[step - 1];
    this.$(".stepper b").textContent = say`${step} of ${count}: ${name}`;
    this.all(".stepper button").forEach((button, forth) => {
      button.setAttribute("aria-disabled", step === (forth ? STEPS.length : 1));
    });
    this.$(".mask").hidden = step < 5;
    this.all(".mask button").forEach((button, k) => {
      button.setAttribute("aria-pressed", causal === (k === 1));
    });
    this.tell(".what", this.what());
    this.paint();
  }

  tell(selector, text) {
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

    const names = { 2: PLURALS, 8: [1, 2].map(numbered) }[this.step] ?? [];
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
    this.tell(".says", this.found[this.grid].says(ci, cj));
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
