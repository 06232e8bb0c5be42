// A lookup, by a dictionary and by attention: `lookup` in gatutils.book.figures.

const DEGREE = Math.PI / 180;
const angleOf = ([x, y]) => Math.atan2(y, x) / DEGREE;
const same = (u, v) => u.every((x, k) => x === v[k]);

class Lookup extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      margin: auto; max-width: 46rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .both { align-items: flex-start; display: flex; flex-wrap: wrap; gap: 0.75rem; }
    .both > * { flex: 1 1 14rem; }
    .both > :last-child { flex: 1000 1 25rem; }
    .flat > * { flex-basis: 100%; }
    .flat button { flex-grow: 0; }
    .ask { align-items: baseline; column-gap: 0.6rem; display: flex; flex-wrap: wrap;
      margin: 0; min-height: 1.5rem; }
    .names { display: flex; flex-wrap: wrap; gap: 0.3rem; margin: 0.4rem 0; }
    button { background: transparent; border: 1px solid var(--muted); border-radius: 0.3rem;
      cursor: pointer; flex: 1 1 4.25rem; font-size: 0.85rem; min-height: 2.5rem; padding: 0 0.25rem; }
    [aria-pressed=true] { border-color: var(--query); box-shadow: inset 0 0 0 1px var(--query);
      color: var(--query); font-weight: 600; }
    svg { display: block; fill: none; margin: auto; max-width: 100%; overflow: visible;
      stroke: currentColor; touch-action: pan-y; }
    text { fill: currentColor; font-size: 13px; stroke: none; }
    svg .name { fill: var(--key); font-weight: 600; paint-order: stroke; stroke: var(--ground);
      stroke-width: 4px; }
    .axis { stroke: var(--muted); }
    .axis text, .hint { fill: var(--muted); }
    .track { stroke: var(--muted); stroke-dasharray: 2 4; }
    .keys { fill: var(--key); stroke: var(--key); }
    polygon { stroke: none; }
    .disc { fill: var(--weight); opacity: 0.4; stroke: none; }
    .turns { cursor: grab; fill: var(--query); stroke: var(--query); touch-action: none; }
    .turns:active { cursor: grabbing; }
    .reach { fill: transparent; stroke: transparent; stroke-width: 40px; }
    circle.reach { stroke: none; }
    .grip circle:not(.reach) { fill: var(--ground); stroke-width: 2.5px; }
    .grip text { fill: var(--query); font-size: 15px; font-style: italic; font-weight: 600;
      text-anchor: middle; }
    .hint { color: var(--muted); font-size: 0.8rem; margin: 0.25rem 0 0; text-align: center; }
    .dial { align-items: center; column-gap: 0.75rem; display: grid;
      grid-template-columns: max-content minmax(0, 1fr) 3.3em; margin-bottom: 0.75rem; }
    output { font-weight: 600; text-align: end; white-space: nowrap; }
    input { accent-color: currentColor; height: 2.5rem; width: 100%; }
    input:focus-visible { border-radius: 0.3rem; outline-offset: -4px; }
    .scale { color: var(--muted); display: grid; font-size: 0.8rem; grid-column: 1 / -1;
      grid-template-columns: 1fr 1fr; line-height: 1.3; margin-top: -0.35rem; pointer-events: none; }
    .scale :last-child { text-align: end; }
    table { border-collapse: collapse; font-size: 0.8rem; width: 100%; }
    caption { display: none; }
    th, td { line-height: 1.35; padding: 0.35rem 0.22rem; text-align: end; white-space: nowrap; }
    .first { padding-inline-start: 0; text-align: start; }
    :is(th, td):last-child { padding-inline-end: 0; }
    thead th { font-size: 0.75rem; font-weight: 600; vertical-align: bottom; }
    thead [scope=colgroup] { font-size: 0.85rem; text-align: center; }
    small { display: block; }
    table small { font-size: 0.75rem; }
    thead small { font-style: italic; }
    sup { font-size: 0.9em; line-height: 0; }
    .ask :empty { display: none; }
    .ask small { font-size: 0.85rem; }
    .opens { border-inline-start: 1px solid var(--hair); padding-inline-start: 0.5rem; }
    tbody tr { border-top: 1px solid var(--hair); }
    tbody th { font-weight: 600; }
    tfoot tr { border-top: 2px solid var(--muted); }
    tfoot :is(th, td) { height: 3.1rem; padding-top: 0.5rem; vertical-align: baseline; }
    tfoot td { font-size: 1.1em; font-weight: 600; }
    tfoot small { color: inherit; font-size: 0.75rem; }
    tfoot .none { color: inherit; }
    i { font-style: normal; }
    .step { border: 1px solid currentColor; border-radius: 50%; display: block; font-size: 0.75rem;
      height: 1.5em; line-height: 1.4em; margin-inline-start: auto; text-align: center;
      width: 1.5em; }
    .brief { display: none; }
    caption .step { display: inline-block; }
    .none { color: var(--muted); }
    .one { font-weight: 700; }
    .bar { background: color-mix(in srgb, var(--weight) 12%, transparent); height: 0.35rem;
      min-width: 2.2rem; }
    .bar, .bar i { border-radius: 0.15em; display: block; }
    .bar i { background: var(--weight); height: 100%; }
    .says { min-height: 4.5em; text-wrap: balance; }
    @media (prefers-reduced-motion: no-preference) {
      .bar i { transition: width 0.25s; }
      .disc { transition: transform 0.25s; }
      .turns, .grip { transition: transform 0.3s; }
      .held .turns, .held .grip { transition: none; }
    }
    @container (max-width: 41rem) {
      .both > * { flex-basis: 100%; }
      svg { width: calc(1.25 * var(--wide)); }
      .names { justify-content: center; margin-bottom: 0.75rem; }
      button { flex: 0 1 4.25rem; }
    }
    @container (max-width: 26rem) {
      caption { color: var(--muted); display: table-caption; font-size: 0.8rem;
        padding-bottom: 0.4rem; text-align: center; white-space: nowrap; }
      caption span { margin-inline-start: 0.5rem; }
      th, td { padding-inline: 0.2rem; }
      .opens { padding-inline-start: 0.3rem; }
      thead .called { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute;
        width: 1px; }
      .brief { display: inline; }
      .says { min-height: 7.5em; }
      .bar { min-width: 1.6rem; }
      .vector { display: none; }
    }`;

  static page = `
    <div class="live">
      <div class="both">
        <div class="query-side">
          <p class="ask"><span>${say`query`}</span> <strong class="query"></strong> <small></small></p>
          <div class="names" role="group" aria-label="${say`query`}"></div>
          <svg role="group" aria-label="${say`key arrows and query arrow`}"></svg>
          <p class="hint">${say`Drag <i class="query">q</i>, or press the arrow keys.`}</p>
        </div>
        <div>
          <div class="dial">
            <label for="tau">${say`temperature τ`}</label>
            <input id="tau" type="range" min="0" max="40" step="1">
            <output for="tau"></output>
            <div class="scale" aria-hidden="true">
              <span>${say`0: only the best match`}</span><span>${say`∞: the mean`}</span>
            </div>
          </div>
          <table>
            <caption aria-hidden="true"><i class="step">1</i> ${say`compare`} <span><i class="step">2</i>
              ${say`weight`}</span> <span><i class="step">3</i> ${say`sum`}</span></caption>
            <thead><tr>
              <th scope="col" rowspan="2" class="key first">${say`key`}</th>
              <th scope="col" rowspan="2" class="value">${say`value`}</th>
              <th scope="colgroup" colspan="3" class="opens">${say`dictionary`}</th>
              <th scope="colgroup" colspan="3" class="opens">${say`attention`}</th>
            </tr><tr></tr></thead>
            <tbody></tbody>
            <tfoot><tr>
              <th scope="row" colspan="2" class="first">${say`returns`}</th>
              <td class="opens" colspan="3"></td><td class="opens" colspan="3"></td>
            </tr></tfoot>
          </table>
        </div>
      </div>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { queries, keys, values, plane, place } = this.data;
    const long = (word) => `<span class="called">${word}</span>`;
    const steps = [
      [say`compare`, "q = k"], [say`weight`, "α"], [say`sum`, "α v"],
      [say`compare`, `${long(`${say`score`} `)}q<sup>⊤</sup>k`],
      [say`weight`, `${long(say`softmax`)}<span class="brief">α</span>`], [say`sum`, "α v"],
    ];
    this.$("thead tr:last-child").append(...steps.map(([word, symbols], c) =>
      make("th", { scope: "col", class: c % 3 ? "" : "opens" }, make("i", { class: "step" }, c % 3 + 1),
        make("span", { class: c % 3 === 1 ? "called weight" : "called" }, ` ${word} `),
        make("small", {}))));
    this.all("thead small").forEach((small, c) => { small.innerHTML = steps[c][1]; });
    const share = () => make("td", {}, make("span", { class: "number" }),
      make("span", { class: "bar", "aria-hidden": true }, make("i")));
    this.$("tbody").append(...keys.map(([name, vector], j) => make("tr", {},
      make("th", { scope: "row", class: "first" }, make("span", { class: "key" }, name), " ",
        make("small", { class: "vector" }, vector)),
      make("td", { class: "value", "data-value": values[j] }, String(values[j])),
      make("td", { class: "opens" }), share(), make("td"),
      make("td", { class: "opens" }), share(), make("td"))));

    this.$(".names").append(...queries.map(([name]) => make("button", { type: "button" }, name)));
    const buttons = this.all("button");
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => this.ask(i));
      button.addEventListener("keydown", (event) => {
        walk(event, buttons);
        const now = this.shadowRoot.activeElement;
        if (now !== button) now.click();
      });
    });
    if (plane) this.draw(plane);
    else {
      this.$(".both").classList.add("flat");
      this.$("svg").remove();
      this.$(".hint").remove();
      if (queries.length === 1) this.$(".names").remove(); // nothing to choose: no control
    }
    this.$("input").value = place;
    this.$("input").addEventListener("input", () => this.show());
    this.ask(this.data.start);
  }

  // The axes, the keys' arrows, and the query's, which turns by mouse, finger and keyboard.
  draw({ keys, names, axes, places, turn, radius, longest, view }) {
    const svg = this.$("svg"), back = turn > 90 ? -radius : 0, down = turn > 180 ? radius : 0;
    svg.setAttribute("viewBox", view.join(" "));
    svg.setAttribute("width", view[2]);
    svg.style.setProperty("--wide", `${view[2]}px`);
    this.tip = ([x, y]) => [x * radius / longest, -y * radius / longest];
    svg.innerHTML = `
      <g class="axis"><path d="M${back},0H${radius}M0,${down}V${-radius}"/>
        ${places.map(([x, y, turned]) =>
          `<text transform="translate(${x},${y})rotate(${turned})" text-anchor="middle"></text>`).join("")}</g>
      <path class="track"/>
      ${keys.map((key) => `<g transform="translate(${this.tip(key)})"><circle class="disc" r="15"/></g>`).join("")}
      <g class="keys">${keys.map((key) => ray(this.tip(key), 2)).join("")}</g>
      ${names.map(([x, y, anchor]) =>
        `<text class="name" x="${x}" y="${y}" text-anchor="${anchor}"></text>`).join("")}
      <g class="turns"><path class="reach"/><g class="line"></g>
        <g class="grip" role="slider" tabindex="0" aria-label="${say`query`}"
          aria-valuemin="${turn > 180 ? -180 : 0}" aria-valuemax="${Math.min(turn, 180)}">
          <circle class="reach" r="21"/><circle r="12"/><text y="4.5">q</text></g></g>`;
    this.all(".axis text").forEach((text, k) => { text.textContent = axes[k]; });
    this.all(".name").forEach((text, j) => { text.textContent = this.data.keys[j][0]; });

    const turns = this.$(".turns"), grip = this.$(".grip"), live = this.$(".live");
    const to = (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      if (x || y) this.turn(angleOf([x, -y]), 2.5);
    };
    turns.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault(); // no text is selected meanwhile
      turns.setPointerCapture(event.pointerId);
      live.classList.add("held");
      grip.focus({ preventScroll: true });
    });
    turns.addEventListener("pointermove", (event) => live.classList.contains("held") && to(event));
    turns.addEventListener("lostpointercapture", () => live.classList.remove("held"));
    svg.addEventListener("click", (event) => turns.contains(event.target) || to(event));
    grip.addEventListener("keydown", (event) => {
      const [low, high] = this.ends;
      const step = { ArrowUp: 1, ArrowLeft: 1, ArrowDown: -1, ArrowRight: -1, PageUp: 10,
        PageDown: -10 }[event.key];
      const end = { Home: low, End: high }[event.key];
      if (step === undefined && end === undefined) return;
      event.preventDefault(); // the page does not scroll meanwhile
      this.turn(end ?? this.beside(step), 0.5, end === undefined ? this.angle : NaN);
    });
  }

  get ends() {
    const { turn } = this.data.plane;
    return turn > 180 ? [-180, 180] : [0, turn];
  }

  // The whole degree so many steps away, but never one that lies next to this angle.
  beside(step) {
    const way = Math.sign(step), from = this.angle;
    const to = way > 0 ? Math.floor(from + 1e-9) : Math.ceil(from - 1e-9);
    return to + step + (Math.abs(to + step - from) < 0.5 ? way : 0);
  }

  // Turn the query: to a query or key of its length that is as near as this, or a whole degree.
  turn(angle, near, from = NaN) {
    const { queries, keys, turn } = this.data.plane, [low, high] = this.ends;
    const length = Math.hypot(...this.vector) || Math.max(...keys.map((key) => Math.hypot(...key))) || 1;
    let to = angle;
    if (turn > 180) to = to > 180 ? to - 360 : to < -180 ? to + 360 : to;
    // Beyond the two ends of an arc, the nearer end.
    else if (to < low || to > high)
      to = Math.cos((to - low) * DEGREE) > Math.cos((to - high) * DEGREE) ? low : high;
    const far = (point) => Math.abs(angleOf(point) - to);
    const found = [...queries, ...keys]
      .filter((point) => Math.abs(Math.hypot(...point) - length) < 1e-9 * length)
      .filter((point) => far(point) <= near && !(Math.abs(angleOf(point) - from) < 1e-9))
      .sort((a, b) => far(a) - far(b))[0];
    const name = queries.findIndex((query) => found && same(query, found));
    if (name >= 0) return this.ask(name);
    to = Math.round(to);
    const vector = found ?? [length * Math.cos(to * DEGREE), length * Math.sin(to * DEGREE)];
    // With twelve digits, as in lookup.py, keys that tie on paper also tie here.
    const scores = keys.map((key) => Number(sum(key.map((x, k) => x * vector[k])).toPrecision(12)));
    const written = `(${vector.map((x) => (found ? String(x) : tidy(x.toFixed(2)))).join(", ")})`;
    this.show({ name: "", written, scores, vector, equal: keys.map((key) => Number(same(key, vector))) });
  }

  // Choose a query by its number.
  ask(i) {
    const { queries, equal, plane } = this.data, [name, written, scores] = queries[i];
    choose(this.all("button"), i);
    this.show({ name, written, scores, equal: equal[i], vector: plane?.queries[i] }, i);
  }

  show(asked = this.asked, chosen = asked === this.asked ? this.chosen : -1) {
    this.asked = asked;
    this.chosen = chosen;
    this.vector = asked.vector;
    const { values, unit } = this.data, { scores, equal } = asked;
    const tau = temperature(Number(this.$("input").value));

    const weights = softmax(scores, tau);
    const products = weights.map((weight, j) => weight * values[j]);
    const result = sum(products);
    const hits = sum(equal);
    const hard = equal.map((x) => (hits ? x / hits : 0));
    const parts = hard.map((weight, j) => weight * values[j]);
    const found = hits ? sum(parts) : NaN;

    const shown = tau === Infinity ? "∞" : tau === 0 ? "0" : tau.toPrecision(2);
    this.$("input").setAttribute("aria-valuetext", tau === 0 ? say`temperature 0, only the best match`
      : tau === Infinity ? say`temperature infinite, the plain mean` : say`temperature ${shown}`);
    this.$("output").textContent = shown;
    this.$(".ask strong").textContent = asked.name;
    this.$(".ask small").textContent = asked.written;
    this.all("button").forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
    const put = (cell, name, x, text) => {
      cell.dataset[name] = x;
      (cell.querySelector(".number") ?? cell).textContent = text;
      const bar = cell.querySelector(".bar i");
      if (bar) bar.style.width = `${100 * x}%`;
    };
    this.all("tbody tr").forEach((row, j) => {
      const cells = [...row.cells].slice(2), short = (x) => tidy(String(Number(x.toFixed(3))));
      put(cells[0], "equal", equal[j], String(equal[j]));
      put(cells[1], "hard", hard[j], short(hard[j]));
      put(cells[2], "part", parts[j], short(parts[j]));
      put(cells[3], "score", scores[j], scores[j].toFixed(3));
      put(cells[4], "weight", weights[j], weights[j].toFixed(3));
      put(cells[5], "product", products[j], products[j].toFixed(3));
      cells.slice(0, 3).forEach((cell, c) => {
        const used = c === 2 ? hard[j] : equal[j];
        cell.classList.toggle("none", !used);
        cell.classList.toggle("one", Boolean(used));
      });
    });
    const [by, soft] = this.all("tfoot td");
    by.dataset.found = found;
    by.className = hits ? "opens value" : "opens";
    by.replaceChildren(...(hits ? [String(Number(found.toFixed(3))) + unit]
      : ["KeyError:", make("small", {}, say`no such key`)]));
    soft.dataset.result = result;
    soft.className = "opens value";
    soft.textContent = result.toFixed(3) + unit;
    if (this.vector) this.point(weights);
    this.$(".says").textContent = this.words(tau, weights, result, found);
  }

  // The query's arrow, and at each key's tip a disc whose area is its weight.
  point(weights) {
    const { keys } = this.data.plane, { vector, asked: { name, equal } } = this;
    const [x, y] = this.tip(vector), length = Math.hypot(x, y), grip = this.$(".grip");
    this.angle = length ? angleOf(vector) : 0;
    // The same direction, the short way round.
    this.turned = (this.turned ?? this.angle)
      + ((this.angle - (this.turned ?? this.angle) + 540) % 360 + 360) % 360 - 180;
    this.$(".turns").style.transform = `rotate(${-this.turned}deg)`;
    grip.style.transform = `translate(${0.6 * length}px) rotate(${this.turned}deg)`; // upright
    this.$(".turns .line").innerHTML = ray([length, 0], 3.5);
    this.$("path.reach").setAttribute("d", `M${length / 4},0H${length}`);
    const { turn } = this.data.plane;
    const end = turn > 180 ? `0,${length}A${length},${length} 0 0 1 0,${-length}`
      : turn > 90 ? `${-length},0` : `0,${-length}`;
    this.$(".track").setAttribute("d", turn > 180
      ? `M0,${-length}A${length},${length} 0 0 1 ${end}` : `M${length},0A${length},${length} 0 0 0 ${end}`);
    this.all(".disc").forEach((disc, j) => {
      disc.style.transform = `scale(${Math.sqrt(weights[j])})`;
    });

    const names = this.data.keys.map(([word]) => word);
    const near = keys.map((key, j) => [angleOf(key), names[j], Math.hypot(...key)])
      .filter(([, , long]) => long).sort((a, b) => a[0] - b[0]);
    const below = near.findLast(([angle]) => angle <= this.angle + 1e-9);
    const above = near.find(([angle]) => angle >= this.angle - 1e-9);
    const hit = names.filter((_, j) => equal[j]);
    const equals = chained(hit), [one, other] = [above, below].map((key) => key?.[1]);
    const nearest = other ?? one, degrees = tidy(this.angle.toFixed(0));
    const where = hit.length ? say`equal to ${equals}`
      : !near.length ? ""
      : !below || !above ? say`beyond ${nearest}`
      : above[0] - below[0] < 1e-6 ? say`in the direction of ${other}`
      : say`between ${one} and ${other}`;
    grip.setAttribute("aria-valuenow", Math.round(this.angle));
    grip.setAttribute("aria-valuetext", [say`${degrees} degrees`,
      hit.includes(name) ? "" : name, where].filter(Boolean).join(", "));
    grip.dataset.query = JSON.stringify(vector);
  }

  // What both return for this query, and why.
  words(tau, weights, result, found) {
    const { data: { keys, unit }, asked: { name, equal, scores, written } } = this;
    const names = keys.map(([word]) => word), best = Math.max(...scores);
    const query = name || written, gives = `${result.toFixed(2)}${unit}`;
    const hits = names.filter((_, j) => equal[j]), tops = names.filter((_, j) => scores[j] === best);
    const hit = chained(hits), top = chained(tops), shares = inWords(names, weights);
    const value = `${Number(found.toFixed(3))}${unit}`, agree = Math.abs(found - result) < 1e-9;
    const hard = !hits.length
      ? say`The query ${query} equals no key, so the dictionary raises a KeyError.`
      : hits.length === 1
        ? say`The query ${query} equals the key ${hit}, so the dictionary returns ${value}.`
        : say`The query ${query} equals the keys ${hit}, so the dictionary returns ${value}.`;
    if (tau === Infinity) {
      const mean = say`At infinite temperature all weights are equal, and attention returns the mean, ${gives}.`;
      return `${hard} ${mean}`;
    }
    if (tau > 0) {
      const soft = say`The attention weights are ${shares}; attention returns the weighted mean, ${gives}.`;
      return `${hard} ${soft}`;
    }
    const one = tops.length === 1;
    const soft = agree
      ? one ? say`At temperature 0 all weight is on the key with the highest score, ${top}, and attention returns ${gives} as well.`
        : say`At temperature 0 all weight is on the keys with the highest score, ${top}, and attention returns ${gives} as well.`
      : one ? say`At temperature 0 all weight is on the key with the highest score, ${top}, and attention returns ${gives}.`
        : say`At temperature 0 all weight is on the keys with the highest score, ${top}, and attention returns ${gives}.`;
    return `${hard} ${soft}`;
  }
}

// An arrow from the origin to a tip; a dot if that is the origin.
function ray([x, y], width) {
  const length = Math.hypot(x, y);
  if (length < 1) return `<circle r="${2 * width}" stroke="none"/>`;
  return arrow({ from: [0, 0], tip: [x, y], along: [x / length, y / length] }, width);
}

const tidy = (text) => text.replace(/^-(0(\.0+)?)$/, "$1"); // no minus before a zero

customElements.define("gat-lookup", Lookup);
