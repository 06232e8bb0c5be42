// The heads of an attention layer: `heads` in gatutils.book.figures.

const FOR_A_FINGER = ".words { --row: 2.5rem; }";

class Heads extends Figure {
  static style = `
    fieldset {
      border: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; justify-content: center;
      margin: 0 0 1rem; padding: 0;
    }
    legend { float: inline-start; line-height: 2.5rem; padding: 0; }
    label { align-items: center; display: flex; gap: 0.35rem; min-height: 2.5rem;
      min-width: 2.5rem; }
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
      min-width: 2.5rem; text-align: end; }
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
    summary { cursor: pointer; margin: auto; min-height: 2.5rem; padding: 0.5rem;
      width: max-content; }
    @media print { details { display: none; } }
    @media (pointer: coarse) { ${FOR_A_FINGER} }
    @container (max-width: 26rem) {
      ${FOR_A_FINGER}
      fieldset { column-gap: 0.7rem; font-size: 0.9em; }
      legend { text-align: center; width: 100%; }
      .words { font-size: 0.9rem; }
      .says { min-height: 3em; }
    }`;

  static page = `
    <fieldset><legend></legend></fieldset>
    <div class="words">
      <p id="asks" class="query"></p><p id="answers" class="key"></p>
      <div class="left" role="group" aria-labelledby="asks"></div>
      <svg aria-hidden="true" preserveAspectRatio="none"></svg>
      <ol class="right" role="list" aria-labelledby="answers"></ol>
    </div>
    <p class="says" aria-live="polite"></p>
    <details><summary>${say`All weights as tables`}</summary><slot></slot></details>`;

  start() {
    const { rows, columns, names, start, choice, asks, answers } = this.data;
    [this.head, this.row] = start;
    this.$("legend").textContent = choice;
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
        if (kind === "pointerover" && this.$("button:focus-visible")) return;
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
    const word = rows[row], most = inWords(columns, given);
    this.$(".says").textContent = sum(given) ? say`“${word}” attends to: ${most}`
      : say`“${word}” attends to nothing: every key is masked`;
  }
}

customElements.define("gat-heads", Heads);
