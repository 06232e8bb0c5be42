// Masks and their graphs: `masks` in gatutils.book.figures.

const FOR_A_FINGER = "tbody :is(td, button) { height: 2.5rem; }";

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
      border: 1px solid var(--hair); cursor: pointer; font-size: 0.64rem; height: 1.6rem;
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
    .reach { pointer-events: all; stroke: transparent; stroke-linecap: round; stroke-width: 40px;
      vector-effect: non-scaling-stroke; }
    .masked circle { fill: url(#hatch); stroke: var(--masked); }
    .hatch { fill: none; opacity: 0.7; stroke: var(--masked); stroke-width: 1.25; }
    .masked text { paint-order: stroke; stroke: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      stroke-linejoin: round; stroke-width: 4px; }
    [aria-pressed="true"] circle { stroke: var(--query); stroke-width: 3; }
    text { fill: currentColor; text-anchor: middle; }
    .masked:not([aria-pressed="true"]) text { fill: var(--muted); }
    .number { font-size: 10.5px; }
    .says { margin-top: 0.5rem; min-height: 3em; }
    .says b { font-weight: 600; }
    @media screen { tr:not(.chosen) td { opacity: 0.7; } }
    @media (pointer: coarse) { ${FOR_A_FINGER} }
    @container (max-width: 26rem) {
      ${FOR_A_FINGER}
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
            const says = weight === null ? say`masked` : weight.toFixed(2);
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
      svg.setAttribute("aria-label", say`${name}, as a graph`);
      const nodes = [...svg.querySelectorAll(".node")];
      nodes.forEach((node, i) => {
        node.setAttribute("aria-label", labels[i]);
        node.querySelector(".word").textContent = labels[i];
      });
      for (const [i, row] of rows.entries()) row.addEventListener("click", () => this.show(i)); // any cell
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
    this.radius ??= [];
    this.radius[m] = r;
    const nodes = this.places[m].map(([x, y], i) => `
      <g class="node" role="button" transform="translate(${x} ${y})"><circle r="${r}"/>
        <text class="word" font-size="${Math.min(11.5, (2 * r - 5) / this.em(labels[i]))}"/>
        <text class="number" y="12"/><path class="reach" d="M0 0h0.01"/></g>`);
    const hatch = m > 0 ? "" : `<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"
      patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>`; // one serves all graphs
    return `<svg viewBox="0 0 ${size} ${size}" role="group">${hatch}
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
        seen.map((j) => `${labels[j]} ${weights[m][chosen][j].toFixed(2)}`).join(", ") || say`nobody`);
    });
  }
}

customElements.define("gat-masks", Masks);
