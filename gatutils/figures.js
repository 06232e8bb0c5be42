// The book's interactive figures, as custom elements: `lookup`, `heads` and `masks` of gatutils.viz.
//
// The data is in an attribute; the content of an element is its still form, one or more tables.
// The live form is a shadow tree laid over it. So without JavaScript the tables are there, the
// page's style does not reach in (but fonts and the roles' colours do), and ids are its own.
(() => {
  if (customElements.get("gat-lookup")) return; // each figure of a page brings this script

  // ---- The maths: gatutils.attention.attend for one query ------------------------------------

  // The best score is taken off first, so nothing overflows. It also gives the two limits their
  // sense: at τ = 0 the others are exp(-∞) = 0, at τ = ∞ all are exp(0) = 1.
  function softmax(scores, tau) {
    const best = Math.max(...scores);
    const powers = scores.map((score) => (score === best ? 1 : Math.exp((score - best) / tau)));
    const all = sum(powers);
    return powers.map((power) => power / all);
  }

  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

  // A slider's place, 0 to 40, as a temperature: tenths of a power of ten between the two limits.
  const temperature = (place) =>
    place === 0 ? 0 : place === 40 ? Infinity : 10 ** ((place - 20) / 10);

  // ---- What the figures share ------------------------------------------------------------------

  const make = (tag, attributes = {}, ...content) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...content); // text stays text: names are never read as HTML
    return element;
  };

  // "cat 0.81, dog 0.12 …": the first four that weigh 0.05 or more, and the first in any case.
  function inWords(names, weights) {
    const order = weights.map((_, j) => j).sort((a, b) => weights[b] - weights[a]);
    const shown = order.filter((j, place) => place === 0 || (place < 4 && weights[j] >= 0.05));
    const rest = 1 - sum(shown.map((j) => weights[j]));
    const words = shown.map((j) => `${names[j]} ${weights[j].toFixed(2)}`).join(", ");
    return rest >= 0.005 ? `${words} …` : words;
  }

  // Arrow keys, Home and End move the focus along a list that is one stop for Tab.
  function walk(event, stops) {
    const last = stops.length - 1;
    const from = stops.indexOf(event.target);
    const back = from - 1, on = from + 1;
    const to = { ArrowUp: back, ArrowLeft: back, ArrowDown: on, ArrowRight: on, Home: 0, End: last };
    if (from < 0 || !(event.key in to)) return;
    event.preventDefault(); // the page does not scroll meanwhile
    stops[Math.min(Math.max(to[event.key], 0), last)].focus();
  }

  const choose = (stops, chosen) =>
    stops.forEach((stop, i) => {
      stop.setAttribute("aria-pressed", i === chosen);
      stop.setAttribute("tabindex", i === chosen ? 0 : -1);
    });

  const STYLE = `
    :host {
      --query: var(--gat-query, #9c5a0c); --key: var(--gat-key, #2a50d7);
      --value: var(--gat-value, #137a45); --weight: var(--gat-weight, #840b7c);
      --masked: var(--gat-masked, #5c5c5c);
      --muted: color-mix(in srgb, currentColor 75%, transparent);
      --hair: color-mix(in srgb, currentColor 18%, transparent);
      container-type: inline-size; display: block; font-size: 0.95rem; line-height: 1.5;
      font-variant-numeric: tabular-nums; text-align: start;
      -webkit-print-color-adjust: exact; print-color-adjust: exact;
    }
    * { box-sizing: border-box; }
    button, input, select { color: inherit; font: inherit; margin: 0; }
    :focus-visible { outline: 3px solid var(--pst-color-primary, currentColor); outline-offset: 2px; }
    .query { color: var(--query); } .key { color: var(--key); }
    .value { color: var(--value); } .weight { color: var(--weight); }
    small { color: var(--muted); font-size: 0.8em; font-weight: 400; }
    .says { margin: 0.75rem 0 0; min-height: 1.5em; text-align: center; }`;

  class Figure extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return; // moved within the page, not new
      this.data = JSON.parse(this.dataset.figure);
      this.attachShadow({ mode: "open" }).innerHTML =
        `<style>${STYLE}${this.constructor.style}</style>${this.constructor.page}`;
      this.start();
    }

    $(selector) {
      return this.shadowRoot.querySelector(selector);
    }
  }

  // ---- A lookup, from the dict to the mean -----------------------------------------------------

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
        score.textContent = (score.dataset.score = scores[j]).toFixed(3);
        share.dataset.weight = weights[j];
        share.querySelector(".number").textContent = weights[j].toFixed(3);
        share.querySelector(".bar i").style.width = `${100 * weights[j]}%`;
        product.textContent = (product.dataset.product = products[j]).toFixed(3);
      });
      const cell = this.$("tfoot td");
      cell.textContent = (cell.dataset.result = result).toFixed(3) + unit;
      const names = keys.map(([name]) => name);
      this.$(".says").textContent = `${inWords(names, weights)}; result ${result.toFixed(2)}${unit}`;
    }
  }

  // ---- The heads of an attention layer: who asks whom ------------------------------------------

  class Heads extends Figure {
    static style = `
      fieldset {
        border: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; justify-content: center;
        margin: 0 0 1rem; padding: 0;
      }
      legend { float: inline-start; line-height: 2rem; padding: 0; }
      label { align-items: center; display: flex; gap: 0.35rem; min-height: 2rem; }
      input { accent-color: currentColor; height: 1rem; width: 1rem; }
      .words {
        --row: 1.7em; display: grid; gap: 0.2rem 0; margin: auto; max-width: 36rem;
        grid-template-columns: minmax(0, 1fr) clamp(3.5em, 22cqi, 9em) minmax(0, 1fr);
      }
      .words p { font-size: 0.85em; font-weight: 600; margin: 0; padding: 0 0.5em; }
      #asks { text-align: end; }
      #answers { grid-column: 3; }
      .left, .right { display: grid; grid: auto-flow var(--row) / minmax(0, 1fr);
        line-height: var(--row); list-style: none; margin: 0; max-width: 100%; padding: 0; width: max-content; }
      .left { justify-self: end; }
      button, .right li { border-radius: 0.25em; padding: 0 0.5em; white-space: nowrap; }
      button, .word { overflow: hidden; text-overflow: ellipsis; }
      button { background: transparent; border: 0; cursor: pointer; line-height: inherit;
        text-align: end; }
      button[aria-pressed="true"] {
        background: color-mix(in srgb, var(--query) 16%, transparent);
        box-shadow: inset -3px 0 var(--query);
      }
      .right li {
        background: color-mix(in srgb, var(--weight) calc(var(--w) * 36%), transparent);
        display: flex; gap: 1em; justify-content: space-between;
      }
      .number { min-width: 2.2em; text-align: end; }
      svg { display: block; overflow: visible; width: 100%; }
      path { fill: none; stroke: var(--weight); stroke-linecap: round;
        vector-effect: non-scaling-stroke; }
      details { margin-top: 0.75rem; }
      summary { cursor: pointer; margin: auto; min-height: 2rem; padding: 0.25rem 0.5rem;
        width: max-content; }
      @media print { details { display: none; } }
      @container (max-width: 26rem) {
        fieldset { column-gap: 0.7rem; font-size: 0.9em; }
        legend { text-align: center; width: 100%; }
        .words { font-size: 0.9rem; }
        .says { min-height: 3em; }
      }`;

    static page = `
      <fieldset><legend>head</legend></fieldset>
      <div class="words">
        <p id="asks" class="query"></p><p id="answers" class="key"></p>
        <div class="left" role="group" aria-labelledby="asks"></div>
        <svg aria-hidden="true" preserveAspectRatio="none"></svg>
        <ol class="right" role="list" aria-labelledby="answers"></ol>
      </div>
      <p class="says" aria-live="polite"></p>
      <details><summary>All heads as tables</summary><slot></slot></details>`;

    start() {
      const { rows, columns, names, start, asks, answers } = this.data;
      [this.head, this.row] = start;
      this.$("#asks").textContent = asks;
      this.$("#answers").textContent = answers;
      this.$("fieldset").append(
        ...names.map((name, h) =>
          make("label", {}, make("input", { type: "radio", name: "head", value: h }), name)),
      );
      this.$("fieldset").addEventListener("change", (event) =>
        this.show(Number(event.target.value), this.row));

      this.left = rows.map((word) => make("button", { type: "button" }, word));
      this.right = columns.map((word) =>
        make("li", {}, make("span", { class: "word" }, word), make("span", { class: "number" })));
      this.$(".left").append(...this.left);
      this.$(".right").append(...this.right);
      // Lines are drawn where a row is one unit high, and stretched to the rows beside them.
      const height = Math.max(rows.length, columns.length);
      this.$("svg").setAttribute("viewBox", `0 0 1 ${height}`);
      this.$("svg").style.height = `calc(${height} * var(--row))`;

      // A word once chosen stays so: touch has no hover to leave.
      for (const kind of ["pointerover", "focusin", "click"])
        this.$(".left").addEventListener(kind, (event) => {
          const row = this.left.indexOf(event.target);
          // A mouse that passes by must not take the place of a reader at the keyboard.
          if (kind === "pointerover" && this.shadowRoot.querySelector("button:focus-visible")) return;
          if (row >= 0 && row !== this.row) this.show(this.head, row);
        });
      this.$(".left").addEventListener("keydown", (event) => walk(event, this.left));
      this.$(`input[value="${this.head}"]`).checked = true;
      this.show(this.head, this.row);
    }

    show(head, row) {
      [this.head, this.row] = [head, row];
      const { rows, columns, weights } = this.data;
      const given = weights[head][row];
      choose(this.left, row);
      this.right.forEach((item, j) => {
        item.dataset.weight = given[j];
        item.style.setProperty("--w", given[j]);
        item.lastChild.textContent = given[j] < 0.005 ? "" : given[j].toFixed(2);
      });
      const lines = given.map((weight, j) =>
        weight < 0.005 ? "" : `<path d="M0 ${row + 0.5}C.5 ${row + 0.5} .5 ${j + 0.5} 1 ${j + 0.5}"
          stroke-width="${0.75 + 6 * weight}" stroke-opacity="${0.2 + 0.8 * weight}"/>`);
      this.$("svg").innerHTML = lines.join("");
      this.$(".says").textContent = sum(given)
        ? `“${rows[row]}” ${this.data.asks}: ${inWords(columns, given)}`
        : `“${rows[row]}” may ask nobody`;
    }
  }

  // ---- Masks and their graphs: whom a node may look at -----------------------------------------

  // From a to b in a graph, straight; it keeps clear of the nodes' circles, of radius r.
  function straight([ax, ay], [bx, by], r) {
    const length = Math.hypot(bx - ax, by - ay);
    const [ux, uy] = [(bx - ax) / length, (by - ay) / length];
    return { from: [ax + r * ux, ay + r * uy], tip: [bx - r * ux, by - r * uy], along: [ux, uy] };
  }

  // From a node back to itself, on the side where no other arrow is.
  function loop([x, y], angle, r) {
    const at = (turn, far) => [x + far * Math.cos(angle + turn), y + far * Math.sin(angle + turn)];
    const [from, tip, out, back] = [at(-0.5, r), at(0.5, r), at(-0.62, r + 24), at(0.62, r + 24)];
    const length = Math.hypot(tip[0] - back[0], tip[1] - back[1]);
    const along = [(tip[0] - back[0]) / length, (tip[1] - back[1]) / length];
    return { from, tip, along, bend: `C${out} ${back} ` };
  }

  // An arrow as SVG: a line as far as its head, and the head.
  function arrow({ from, tip: [x, y], along: [ux, uy], bend = "L" }, width) {
    const [long, wide] = [4 + 1.6 * width, 2 + width];
    const [bx, by] = [x - long * ux, y - long * uy];
    const head = [x, y, bx - wide * uy, by + wide * ux, bx + wide * uy, by - wide * ux];
    return `<path d="M${from}${bend}${bx + ux},${by + uy}" stroke-width="${width}"/>
      <polygon points="${head}"/>`;
  }

  class Masks extends Figure {
    static style = `
      .panels {
        display: grid; gap: 1.75rem 1rem;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, var(--panel)), 1fr));
      }
      table {
        border-collapse: collapse; font-size: 0.8rem; margin: 0 auto; table-layout: fixed;
        width: min(100%, calc(var(--room) + 2.7em * var(--nodes)));
      }
      caption { font-size: 0.95rem; font-weight: 600; padding-bottom: 0.25rem; }
      th { font-weight: 400; line-height: 1.1; padding: 0; }
      thead td { width: var(--room); }
      thead th {
        padding: 0.2em 0; text-align: start; transform: rotate(180deg); white-space: nowrap;
        writing-mode: vertical-rl;
      }
      tbody td {
        background: color-mix(in srgb, var(--weight) calc(4% + var(--w) * 36%), transparent);
        border: 1px solid var(--hair); font-size: 0.64rem; height: 1.6rem;
        letter-spacing: -0.03em; padding: 0; position: relative; text-align: center; white-space: nowrap;
      }
      td.masked { background: repeating-linear-gradient(135deg,
        color-mix(in srgb, var(--masked) 70%, transparent) 0 1px, transparent 1px 5px); }
      td.masked span, tr:not(.chosen) td span { clip-path: inset(50%); overflow: hidden;
        position: absolute; width: 1px; }
      .chosen { outline: 2px solid var(--query); }
      button {
        background: transparent; border: 0; cursor: pointer; height: 1.6rem; overflow: hidden;
        padding: 0 0.4em 0 0; text-align: end; white-space: nowrap; width: 100%;
      }
      button[aria-pressed="true"] { font-weight: 700; }
      button:focus-visible { outline-offset: -2px; }
      svg { display: block; margin: 0.5rem auto 0; max-width: 19rem; overflow: visible; width: 100%; }
      .arrows { fill: currentColor; stroke: currentColor; opacity: 0.3; }
      .arrows.row { fill: var(--weight); stroke: var(--weight); opacity: 1; }
      .arrows path { fill: none; }
      .arrows polygon { stroke: none; }
      .node { cursor: pointer; }
      circle { fill: color-mix(in srgb, var(--weight) calc(4% + var(--w) * 36%), transparent);
        pointer-events: all; stroke: currentColor; stroke-width: 1.25; }
      .masked circle { fill: none; stroke: var(--masked); stroke-dasharray: 3 3; }
      [aria-pressed="true"] circle { stroke: var(--query); stroke-dasharray: none; stroke-width: 3; }
      text { fill: currentColor; text-anchor: middle; }
      .masked:not([aria-pressed="true"]) text { fill: var(--muted); }
      .number { font-size: 10.5px; }
      .says { margin-top: 0.5rem; min-height: 3em; }
      .says b { font-weight: 600; }
      @media screen { tr:not(.chosen) td { opacity: 0.7; } }
      @container (max-width: 26rem) {
        table { font-size: 0.9rem; }
        tbody td { font-size: 0.75rem; }
      }`;

    static page = `<div class="panels"></div>`;

    start() {
      const { names, labels, weights, start } = this.data;
      const longest = Math.max(...labels.map((word) => this.em(word)));
      const panels = this.$(".panels");
      panels.style.setProperty("--nodes", labels.length);
      panels.style.setProperty("--room", `${longest + 1}em`);
      panels.style.setProperty("--panel", `${Math.max(12.5, 1.5 * labels.length + 2)}rem`);
      this.panels = names.map((name, m) => {
        const rows = labels.map((word, i) =>
          make("tr", {},
            make("th", { scope: "row" }, make("button", { type: "button", class: "query" }, word)),
            ...weights[m][i].map((weight, j) => {
              const says = weight === null ? "masked" : weight.toFixed(2);
              const attributes = { title: `${word} ← ${labels[j]}: ${says}`, style: `--w: ${weight ?? 0}` };
              if (weight === null) attributes.class = "masked";
              return make("td", attributes, make("span", {}, says));
            })));
        const panel = make("div", {},
          make("table", {},
            make("caption", {}, name),
            make("thead", {}, make("tr", {}, make("td"),
              ...labels.map((word) => make("th", { scope: "col", class: "key" }, word)))),
            make("tbody", {}, ...rows)));
        panel.insertAdjacentHTML("beforeend", this.drawing(m));
        const says = make("p", { class: "says", "aria-live": "polite" });
        panel.append(says);
        const svg = panel.querySelector("svg");
        svg.setAttribute("aria-label", `${name}, as a graph`);
        const nodes = [...svg.querySelectorAll(".node")];
        nodes.forEach((node, i) => {
          node.setAttribute("aria-label", labels[i]);
          node.querySelector(".word").textContent = labels[i];
        });
        const buttons = rows.map((row) => row.querySelector("button"));
        for (const stops of [buttons, nodes])
          stops.forEach((stop, i) => {
            for (const kind of ["click", "focus"]) stop.addEventListener(kind, () => this.show(i));
            stop.addEventListener("keydown", (event) => {
              walk(event, stops);
              if (stops === buttons || ![" ", "Enter"].includes(event.key)) return;
              event.preventDefault();
              this.show(i);
            });
          });
        return { rows, buttons, nodes, says, svg };
      });
      panels.append(...this.panels.map(({ says }) => says.parentNode));
      this.show(start);
    }

    // About how wide a word is: a Hangul syllable as wide as high, a Latin letter a good half.
    em(word) {
      return sum([...word].map((letter) => (letter > "\u1100" ? 1 : 0.6)));
    }

    // The circles of a graph, each with room for a word and a number, and where they are.
    drawing(m) {
      const { labels, places } = this.data;
      const size = 220 * Math.max(1, labels.length / 7), margin = 39;
      this.places ??= [];
      this.places[m] = places[m].map((at) => at.map((x) => margin + x * (size - 2 * margin)));
      const apart = this.places[m].flatMap(([x, y], i) =>
        this.places[m].slice(i + 1).map(([a, b]) => Math.hypot(a - x, b - y)));
      const r = Math.max(12, Math.min(22, ...apart.map((distance) => 0.44 * distance)));
      (this.radius ??= [])[m] = r;
      const nodes = this.places[m].map(([x, y], i) => `
        <g class="node" role="button" transform="translate(${x} ${y})"><circle r="${r}"/>
          <text class="word" font-size="${Math.min(11.5, (2 * r - 5) / this.em(labels[i]))}"/>
          <text class="number" y="12"/></g>`);
      return `<svg viewBox="0 0 ${size} ${size}" role="group">
        <g class="arrows"></g><g class="arrows row"></g>${nodes.join("")}</svg>`;
    }

    show(chosen) {
      if (chosen === this.chosen) return; // nothing is said twice
      this.chosen = chosen;
      const { names, labels, weights, loops } = this.data;
      this.panels.forEach(({ rows, buttons, nodes, says, svg }, m) => {
        choose(buttons, chosen);
        choose(nodes, chosen);
        rows.forEach((row, i) => {
          row.classList.toggle("chosen", i === chosen);
          [...row.cells].slice(1).forEach((cell, j) => {
            if (i === chosen) cell.dataset.weight = weights[m][i][j] ?? 0;
            else delete cell.dataset.weight;
          });
        });
        const places = this.places[m], r = this.radius[m];
        const arrows = (i, width) => weights[m][i].map((weight, j) => weight === null ? "" :
          arrow(i === j ? loop(places[i], loops[m][i], r) : straight(places[j], places[i], r + 1),
            width(weight)));
        const [others, own] = svg.querySelectorAll(".arrows");
        others.innerHTML = labels.flatMap((_, i) => i === chosen ? [] : arrows(i, () => 1)).join("");
        own.innerHTML = arrows(chosen, (weight) => 1.25 + 5 * weight).map((drawn, j) =>
          drawn && `<g data-from="${j}" data-weight="${weights[m][chosen][j]}">${drawn}</g>`).join("");
        nodes.forEach((node, j) => {
          const weight = weights[m][chosen][j];
          const [circle, word, number] = node.children;
          node.classList.toggle("masked", weight === null);
          circle.style.setProperty("--w", weight ?? 0);
          word.setAttribute("y", weight === null ? 4 : -1);
          number.textContent = weight === null ? "" : weight.toFixed(2);
        });
        const seen = labels.map((_, j) => j).filter((j) => weights[m][chosen][j] !== null);
        seen.sort((a, b) => weights[m][chosen][b] - weights[m][chosen][a]);
        says.replaceChildren(make("b", {}, names[m]), ": ",
          seen.map((j) => `${labels[j]} ${weights[m][chosen][j].toFixed(2)}`).join(", ") || "nobody");
      });
    }
  }

  customElements.define("gat-lookup", Lookup);
  customElements.define("gat-heads", Heads);
  customElements.define("gat-masks", Masks);
})();
