// A board of Minesweeper, a network's probability of a mine in the cell that the reader chooses, and
// what the cell attends to: `minefield` in gatutils.book.figures.

const AROUND = ["above left", "above", "above right", "left", "itself", "right", "below left",
  "below", "below right"];
const OWN = AROUND.indexOf("itself");

class Minefield extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      margin: auto; max-width: 46rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .both { align-items: start; display: flex; flex-wrap: wrap; gap: 1rem 2rem;
      justify-content: center; }
    .field { flex: 1 1 20rem; max-width: 24rem; min-width: min(100%, 20rem); }
    .beside { flex: 1 1 17rem; max-width: 21rem; }
    .board { display: grid; grid-template-columns: repeat(var(--size), minmax(0, 1fr)); }
    .board button, .near td {
      background: color-mix(in srgb, var(--weight) calc(var(--w, 0) * 0.36%), var(--ground)); }
    .board button { aspect-ratio: 1; border: 1px solid var(--hair);
      border-radius: 0.15rem; cursor: pointer; font-size: 1rem; line-height: 1; min-width: 0;
      padding: 0; position: relative; }
    .board .hidden { box-shadow: inset 0 0 0 2px var(--hair); }
    .board button:focus-visible { outline-offset: 1px; z-index: 2; }
    .board [aria-pressed=true] { border: 3px solid var(--query); font-weight: 700; z-index: 1; }
    .board .seen { border-color: var(--weight); }
    .legend { color: var(--muted); font-size: 0.8rem; line-height: 1.4; margin: 0.5rem 0 0; }
    fieldset { border: 0; display: flex; flex-wrap: wrap; gap: 0 0.9rem; margin: 0; padding: 0; }
    legend { float: inline-start; line-height: 2.5rem; padding: 0; }
    label { align-items: center; display: flex; gap: 0.3rem; min-height: 2.5rem;
      min-width: 2.5rem; }
    input { accent-color: currentColor; height: 1rem; width: 1rem; }
    table { border-collapse: separate; border-spacing: 2px; table-layout: fixed; width: 100%; }
    caption { font-size: 0.85rem; line-height: 1.4; padding-bottom: 0.3rem; text-align: start; }
    .near td { border: 1px solid var(--hair); border-radius: 0.2rem;
      height: 3.4rem; line-height: 1.25; padding: 0; text-align: center; }
    .near .beyond { background: none; border-style: dashed; }
    .near .own { border: 3px solid var(--query); }
    .near b { display: block; font-weight: 600; }
    .chance { margin: 0.75rem 0 0; }
    .bar { background: var(--hair); border-radius: 0.3rem; display: block; height: 0.6rem;
      margin-top: 0.3rem; overflow: hidden; }
    .bar i { background: currentColor; display: block; height: 100%; width: 0; }
    .says { min-height: 4.5em; text-wrap: pretty; }
    @media (prefers-reduced-motion: no-preference) {
      .board button, .near td { transition: background-color 0.3s; }
      .bar i { transition: width 0.3s; }
    }
    @container (max-width: 32rem) {
      .says { font-size: 0.9rem; text-align: start; }
    }`;

  static page = `
    <div class="live">
      <div class="both">
        <div class="field">
          <div class="board" role="group" aria-label="${say`board`}"></div>
          <p class="legend">${
            say`A number says how many of the cells around it are mines; ? marks a hidden cell. Choose a cell.`}</p>
        </div>
        <div class="beside">
          <fieldset><legend>${say`head`}</legend></fieldset>
          <table class="near"><caption></caption><tbody></tbody></table>
          <p class="chance"><span></span><span class="bar" aria-hidden="true"><i></i></span></p>
        </div>
      </div>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { size, clues, weights, start } = this.data, board = this.$(".board");
    board.style.setProperty("--size", size);
    this.cells = clues.map((clue, cell) => make("button", { type: "button",
      class: clue ? "" : "hidden", "aria-label": `${this.place(cell)}: ${shows(clue)}` }, clue || "?"));
    board.append(...this.cells);
    for (const kind of ["focusin", "click"])
      board.addEventListener(kind, (event) => {
        const cell = this.cells.indexOf(event.target);
        if (cell >= 0 && cell !== this.cell) this.show(this.head, cell);
      });
    board.addEventListener("keydown", (event) => this.move(event));

    this.$("fieldset").append(...weights.map((_, head) => make("label", {},
      make("input", { type: "radio", name: "head", value: head }), String(head + 1))));
    this.$("fieldset").addEventListener("change", (event) =>
      this.show(Number(event.target.value), this.cell));
    this.$(`input[value="${start[0]}"]`).checked = true;
    this.near = AROUND.map(() => make("td"));
    this.$("tbody").append(...[0, 3, 6].map((k) => make("tr", {}, ...this.near.slice(k, k + 3))));
    this.show(...start);
  }

  place(cell) {
    const { size } = this.data, row = Math.floor(cell / size) + 1, column = cell % size + 1;
    return say`row ${row}, column ${column}`;
  }

  // Arrow keys move over the board, Home and End to the ends of a row.
  move(event) {
    const { size } = this.data, from = this.cells.indexOf(event.target), column = from % size;
    const to = { ArrowUp: from - size, ArrowDown: from + size,
      ArrowLeft: column ? from - 1 : from, ArrowRight: column < size - 1 ? from + 1 : from,
      Home: from - column, End: from - column + size - 1 }[event.key];
    if (from < 0 || to === undefined) return;
    event.preventDefault(); // the page does not scroll meanwhile
    this.cells[to]?.focus();
  }

  show(head, cell) {
    [this.head, this.cell] = [head, cell];
    const { size, clues, mines, chances, weights } = this.data, given = weights[head][cell];
    const at = (place) => cell + (Math.floor(place / 3) - 1) * size + place % 3 - 1;
    const percent = (place) => given[place] ?? 0; // beyond the edge there is no cell
    choose(this.cells, cell);
    this.cells.forEach((button) => {
      button.classList.remove("seen");
      button.style.removeProperty("--w");
    });
    given.forEach((weight, place) => {
      const square = this.near[place];
      square.className = weight === null ? "beyond" : place === OWN ? "own" : "";
      square.style.setProperty("--w", percent(place));
      square.dataset.weight = weight ?? "";
      square.replaceChildren();
      if (weight === null) return;
      const clue = clues[at(place)], button = this.cells[at(place)];
      square.append(make("b", {}, clue || "?"), `${weight} %`);
      button.classList.toggle("seen", place !== OWN);
      button.style.setProperty("--w", weight);
    });
    const number = head + 1, chance = chances[cell], marked = make("span", { class: "weight" }, say`weights`);
    this.$("caption").replaceChildren(
      say`What the outlined cell attends to with head ${number}: ${marked}`);
    this.$(".chance span").textContent = say`probability of a mine: ${chance} %`;
    this.$(".bar i").style.width = `${chances[cell]}%`;

    const others = [...given.keys()].filter((place) => given[place] !== null && place !== OWN);
    const groups = [[numbered, (clue) => clue], [hidden, (clue) => !clue]].map(([words, test]) => {
      const places = others.filter((place) => test(clues[at(place)]));
      return places.length && [sum(places.map(percent)), words(places.length)];
    });
    const parts = [...groups.filter(Boolean), [given[OWN], say`the cell itself`]].map(
      ([weight, whom], k) => k ? say`${weight} % to ${whom}` : say`${weight} % of the weight to ${whom}`);
    const [first, second] = parts, last = parts.at(-1), place = this.place(cell), clue = clues[cell];
    this.$(".says").textContent = [
      clue ? say`The cell in ${place} shows ${clue}.` : say`The cell in ${place} is hidden.`,
      mines[cell]
        ? say`The network gives it a probability of ${chance} % of being a mine; it is one.`
        : say`The network gives it a probability of ${chance} % of being a mine; it is not.`,
      parts.length < 3 ? say`Head ${number} gives ${first} and ${last}.`
        : say`Head ${number} gives ${first}, ${second}, and ${last}.`,
    ].join(" ");
  }
}

const shows = (clue) => (clue ? say`shows ${clue}` : say`hidden`);
const numbered = (count) => count === 1 ? say`the one neighbour with a number`
  : say`the ${count} neighbours with a number`;
const hidden = (count) => count === 1 ? say`the one hidden neighbour`
  : say`the ${count} hidden neighbours`;

customElements.define("gat-minefield", Minefield);
