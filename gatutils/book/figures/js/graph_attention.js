// Graph attention step by step: `graph_attention` in gatutils.book.figures.

// All numbers of node i: gatutils.GATConv with one head.
function attention({ W, a, slope, sees }, features, i) {
  const dot = (u, v) => sum(u.map((x, k) => x * v[k]));
  const projected = features.map((h) => W.map((row) => dot(row, h)));
  const pairs = projected.map((key) => [...projected[i], ...key]);
  const products = pairs.map((pair) => pair.map((x, k) => a[k] * x));
  const raw = products.map(sum);
  const scores = raw.map((x) => (x > 0 ? x : slope * x));
  const shares = softmax(sees[i].map((j) => scores[j]), 1);
  const weights = features.map((_, j) => shares[sees[i].indexOf(j)] ?? 0);
  const parts = projected.map((value, j) => value.map((x) => weights[j] * x));
  const state = [0, 1].map((k) => sum(parts.map((part) => part[k])));
  return { projected, pairs, products, raw, scores, weights, parts, state };
}

const STEPS = [say`project`, say`score`, say`mask`, say`softmax`, say`combine`];
// The steps that need a column of the table: the first fills it, a phone shows it in these alone.
const NEEDED = ["012345", "1", "125", "23", "234", "45", "5"];

class Attention extends Figure {
  static style = ATTENTION_STYLE;
  static page = ATTENTION_PAGE;

  start() {
    const { names, features, reach, columns, given, start, step } = this.data;
    this.features = structuredClone(features);
    this.$("caption span").textContent = given;
    this.$(".trace thead tr").innerHTML = columns.map((words) => `<th scope="col">${words}</th>`).join("");
    this.$(".trace tbody").append(...names.map((name) => make("tr", {},
      make("th", { scope: "row" }, name), ...columns.slice(1).map(() => make("td")))));
    this.$("select").append(...names.map((name) => make("option", {}, name)));
    this.$(".steps").append(...STEPS.map((name, k) => make("label", {},
      make("input", { type: "radio", name: "step" }), make("small", {}, `${k + 1} `), make("span", {}, name))));
    for (const slider of this.all("[type=range]")) [slider.min, slider.max] = [-reach, reach];
    this.tabulate(names);
    this.draw();

    const n = names.length;
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
    for (const kind of ["click", "focus"]) {
      on(".node", kind, (_, i) => i !== this.chosen && this.show({ chosen: i }));
      on(".row", kind, (_, i) => i !== this.chosen && this.show({ chosen: i }));
      on(".entry", kind, (_, k) => this.choose(Math.floor(k / n), k % n));
      on(".keys button", kind, (_, j) => this.choose(this.chosen, j));
    }
    for (const list of [".node", ".row", ".keys button"])
      on(list, "keydown", (_, _i, event) => {
        walk(event, this.all(list));
        if (list === ".node" && event.key === " ") event.preventDefault(); // its focus chose it
      });
    on(".entry", "keydown", (_, k, event) => { // along its row, or along its column
      const entries = this.all(".entry"), row = Math.floor(k / n);
      const upright = event.key === "ArrowUp" || event.key === "ArrowDown";
      walk(event, entries.filter((_, m) => upright ? m % n === k % n : Math.floor(m / n) === row));
    });
    this.show({ chosen: start, step });
  }

  choose(chosen, changed) {
    if (chosen !== this.chosen || changed !== this.changed) this.show({ chosen, changed });
  }

  // The matrix of all pairs and the list of keys, still without numbers.
  tabulate(names) {
    this.$(".pairs thead tr").append(make("td"),
      ...names.map((name) => make("th", { scope: "col", class: "key" }, name)));
    this.$(".pairs tbody").append(...names.map((i) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", class: "row query", "aria-label": say`row ${i}` }, i)),
      ...names.map((j) => make("td", {}, make("button", { type: "button", class: "entry" },
        make("span", { class: "label" }, make("span"), make("sub", {},
          i.length + j.length > 2 ? `${i},\u00a0${j}` : i + j)),
        make("span", { class: "number" })))))));
    this.$(".keys").append(...names.map(() => make("button", { type: "button" },
      make("span", { class: "score" }), make("span", { class: "track" }, make("i")),
      make("span", { class: "weight" }))));
    this.$(".points").innerHTML = `${"<circle r='2.5'/>".repeat(names.length)}<circle r='5' class='now'/>`;
  }

  // The graph: its edges, faint, and its nodes.
  draw() {
    const { names, places, loops, sees, size, radius: r } = this.data;
    const svg = this.$(".graph svg");
    svg.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    this.way = (j, i) => i === j ? loop(places[i], loops[i], r)
      : straight(places[j], places[i], r + 1);
    const line = ({ from, bend = "L", tip }) => `<path d="M${from}${bend}${tip}"/>`;
    this.$(".edges").innerHTML = sees.flatMap((seen, i) => seen.map((j) =>
      !sees[j].includes(i) ? arrow(this.way(j, i), 1) : j > i ? "" : line(this.way(j, i)).replace(" ", i === j ? ` data-loop="${i}" ` : " "))).join("");
    svg.insertAdjacentHTML("beforeend", places.map((at) => `
      <g class="node" role="button" transform="translate(${at})"><circle r="${r}"/>
        <rect class="pad" rx="5"/><text class="word"/><text class="number"/><text class="number"/></g>`).join(""));
    this.all(".node").forEach((node, i) => {
      const name = names[i];
      node.setAttribute("aria-label", say`node ${name}`);
      node.children[2].textContent = name;
      node.children[2].style.fontSize = `${Math.min(13, 46 / name.length)}px`;
    });
  }

  show({ chosen = this.chosen, step = this.step, changed } = {}) {
    const { names, sees } = this.data, seen = sees[chosen], n = names.length;
    // With another query the key becomes one that it attends to.
    if (changed === undefined)
      changed = chosen === this.chosen || seen.includes(this.changed) ? this.changed
        : seen.find((j) => j !== chosen) ?? chosen;
    Object.assign(this, { chosen, step, changed });
    const hidden = names.map((_, j) => j).filter((j) => !seen.includes(j));
    const rows = names.map((_, i) => attention(this.data, this.features, i));
    const found = rows[chosen];

    this.all("[type=radio]")[step - 1].checked = true;
    this.all(".stepper button").forEach((button, forth) => {
      button.setAttribute("aria-disabled", step === (forth ? 5 : 1));
    });
    this.$("select").selectedIndex = changed;
    this.all("[type=range]").forEach((slider, k) => {
      slider.value = this.features[changed][k];
      slider.nextElementSibling.textContent = trimmed(this.features[changed][k]);
    });
    this.$(".live").dataset.step = step;
    this.$(".trace caption b").textContent = names[chosen];
    this.trace(found, step > 2 ? hidden : []);
    this.paint(found, step > 2 ? hidden : []);
    this.fill(rows, n);
    this.stage(found, seen, step > 2 ? hidden : []);
    const says = this.$(".says"), words = make("p", {}, ...this.words(found, seen, hidden));
    if (says.textContent !== words.textContent) says.replaceChildren(...words.childNodes);
  }

  // The table of all numbers, as far as this step.
  trace({ projected, raw, scores, weights, parts, state }, masked) {
    const { chosen, step } = this, known = step > 3;
    this.all(".trace tbody tr").forEach((row, j) => {
      const out = masked.includes(j);
      row.className = `${j === chosen ? "chosen" : ""} ${out ? "masked" : ""}`;
      [vector(this.features[j], trimmed), vector(projected[j]), two(raw[j]), two(scores[j]),
        two(weights[j]), vector(parts[j])].forEach((text, c) => { row.cells[c + 1].textContent = text; });
      if (out) row.cells[4].replaceChildren(make("s", {}, two(scores[j])));
    });
    const sums = this.$(".trace tfoot tr").cells;
    [sums[5].textContent, sums[6].textContent] = [two(sum(weights)), vector(state)];
    this.$(".trace tfoot").classList.toggle("later", !known);
    for (const row of this.all(".trace tr"))
      [...row.cells].forEach((cell, c) => {
        cell.classList.toggle("later", NEEDED[c][0] > step);
        cell.classList.toggle("rest", !NEEDED[c].includes(step));
        cell.classList.toggle("now", Number(NEEDED[c][0]) === step || (step === 3 && c === 4));
      });
  }

  // The graph: what the step has found, and the arrows that it uses.
  paint({ projected, scores, weights, state }, masked) {
    const { chosen, changed, step } = this, nodes = this.all(".node"), known = step > 3;
    nodes.forEach((node, j) => {
      const out = masked.includes(j), fresh = step === 5 && j === chosen;
      const [circle, pad, word, ...numbers] = node.children;
      const lines = fresh ? state : step === 1 ? projected[j] : !known ? [scores[j]]
        : out ? [] : [weights[j]];
      node.setAttribute("class", `node${fresh ? " new" : out ? " masked" : ""}${j === changed ? " other" : ""}`);
      circle.style.setProperty("--w", known ? weights[j] : 0);
      const [across, down] = lines.length ? [20, 16] : [9, 10]; // the hatching keeps clear of the text
      for (const [key, x] of Object.entries({ x: -across, y: -down, width: 2 * across, height: 2 * down }))
        pad.setAttribute(key, x);
      word.setAttribute("y", 4.5 - 7 * lines.length);
      numbers.forEach((number, k) => {
        number.textContent = k in lines ? two(lines[k]) : "";
        number.setAttribute("y", 18.5 - 7 * lines.length + 13.5 * k);
      });
    });
    choose(nodes, chosen);
    const [query, key] = [chosen, changed].map((k) => this.data.names[k]);
    this.$(".graph p .query").textContent = say`query i = ${query}`;
    this.$(".graph p .key").textContent = say`key j = ${key}`;
    for (const edge of this.all("[data-loop]")) // its own arrow takes its place
      edge.classList.toggle("later", step > 1 && Number(edge.dataset.loop) === chosen);
    this.$(".own").classList.toggle("asked", step === 2);
    this.$(".own").innerHTML = weights.map((weight, j) => {
      if (step === 1 || masked.includes(j)) return "";
      const [width, opacity] = known ? [1.25 + 5 * weight, 0.4 + 0.6 * weight] : [1.25, 1];
      return `<g data-from="${j}" opacity="${opacity}">${arrow(this.way(j, chosen), width)}</g>`;
    }).join("");
  }

  // The matrix: scores from step 2 on, hatched where masked from step 3 on, weights from step 4 on.
  fill(rows, n) {
    const { chosen, changed, step, data: { names, sees } } = this, known = step > 3;
    const all = rows.flatMap((row) => row.scores), low = Math.min(...all), high = Math.max(...all);
    const letter = known ? "α" : "e", symbol = indexed(letter, "i", "j");
    this.$(".pairs caption").replaceChildren(known ? say`weights ${symbol}: each row sums to 1`
      : step === 3 ? say`scores ${symbol}, masked where there is no edge`
        : step === 2 ? say`scores ${symbol} of all pairs`
          : say`scores ${symbol} of all pairs: to be computed`);
    this.all(".pairs tbody tr").forEach((row, i) => {
      row.classList.toggle("chosen", i === chosen);
    });
    choose(this.all(".row"), chosen);
    const entries = this.all(".entry");
    choose(entries, n * chosen + changed);
    entries.forEach((entry, k) => {
      const [i, j] = [Math.floor(k / n), k % n], { scores, weights } = rows[i];
      const out = step > 2 && !sees[i].includes(j);
      const text = step === 1 ? "" : out ? (known ? "0" : "−∞") : two(known ? weights[j] : scores[j]);
      const [label, number] = entry.children;
      label.firstChild.textContent = letter;
      number.textContent = text;
      entry.className = `entry${out ? " masked" : ""}${known ? " known" : ""}`;
      const [query, key] = [names[i], names[j]];
      const written = out ? say`masked` : text || say`to be computed`;
      entry.setAttribute("aria-label", known ? say`weight of key ${key} for query ${query}: ${written}`
        : say`score of key ${key} for query ${query}: ${written}`);
      const share = step === 1 || out ? 0 : known ? weights[j] : (scores[j] - low) / (high - low || 1);
      entry.style.setProperty("--w", share);
    });
  }

  // The step itself, for the chosen query i and the chosen key j.
  stage(found, seen, masked) {
    const { chosen, changed: j, step, data: { names, W, a, slope } } = this;
    const { projected, pairs, products, raw, scores, weights, parts, state } = found;
    const [i, name] = [names[chosen], names[j]];
    projection(this.$(".project"), { W, features: this.features, projected, names, i: chosen, j });
    strips(this.$(".strips"), { pair: pairs[j], a, products: products[j], i, j: name });
    const total = make("b", {}, two(raw[j]));
    this.$(".total").replaceChildren(say`sum ${total}`);
    curve(this.$(".curve"), { raw, scores, slope, j });
    this.$(".bent").replaceChildren(indexed("e", i, name), " = ", make("b", {}, two(scores[j])));
    this.$(".score-of").dataset.known = step > 3;
    const buttons = this.all(".keys button");
    choose(buttons, j);
    buttons.forEach((button, k) => {
      const out = masked.includes(k), [score, track, weight] = button.children;
      button.classList.toggle("masked", out);
      score.replaceChildren(indexed("e", i, names[k]), " ", out ? make("s", {}, two(scores[k])) : two(scores[k]));
      track.style.setProperty("--w", step > 3 ? weights[k] : 0);
      weight.textContent = step < 4 ? "" : out ? "0" : two(weights[k]);
      const [key, number, share] = [names[k], two(scores[k]), two(weights[k])];
      button.setAttribute("aria-label", out ? say`key ${key}: score ${number}, masked`
        : step > 3 ? say`key ${key}: score ${number}, weight ${share}`
          : say`key ${key}: score ${number}`);
    });
    const sums = { old: this.features[chosen], state, parts, seen, j };
    plane(this.$(".plane"), sums);
    equation(this.$(".equation"), { ...sums, name: i, names, weights, projected });
  }

  // What the step does, with the numbers of the chosen node i and of the node j of the sliders.
  words({ projected, raw, scores, weights, state }, seen, hidden) {
    const { chosen, step, changed: j, data: { names } } = this;
    const [i, n] = [names[chosen], names[j]];
    if (step > 2 && !seen.length)
      return [say`Node ${i} attends to no node: its whole row is masked.`];
    const e = (k) => indexed("e", i, names[k]), exp = (k) => `exp(${two(scores[k])})`;
    const top = scores.indexOf(Math.max(...scores));
    const best = seen.filter((k) => weights[k] > Math.max(...weights) - 1e-9);
    const called = (name) => say`node ${name}`;
    const whom = chained(best.map((k) => (k === chosen ? say`itself` : called(names[k]))));
    const most = best.length === seen.length && best.length > 1
      ? say`Node ${i} gives all its neighbours the same weight.`
      : say`Node ${i} attends most to ${whom}.`;
    return [
      () => [indexed("W h", n), ` = W ${vector(this.features[j], trimmed)} = ${vector(projected[j], trimmed)}. `,
        say`Every node is projected by the same matrix W.`],
      () => [e(j), " = LeakyReLU(a · [", indexed("W h", i), " ‖ ", indexed("W h", n), "]) = ",
        `LeakyReLU(${two(raw[j])}) = ${two(scores[j])}. `,
        say`All pairs are scored, whether or not an edge joins them.`],
      () => {
        if (!hidden.length) return [say`Node ${i} attends to all nodes, so no score of its row is masked.`];
        const nodes = listed(hidden.map((k) => names[k])), highest = e(top);
        const lost = listed(hidden.map((k) => [e(k), `\u00a0=\u00a0${two(scores[k])}`]));
        return [
          hidden.length === 1 ? say`Node ${i} does not attend to node ${nodes}: ${lost} becomes −∞.`
            : say`Node ${i} does not attend to nodes ${nodes}: ${lost} become −∞.`,
          ...(hidden.includes(top) ? [" ", say`The highest score of the row, ${highest}, is masked.`] : []),
        ];
      },
      () => {
        const weight = indexed("α", i, n), score = [e(j), ` = ${two(scores[j])}`];
        return seen.includes(j)
          ? [weight, ` = ${exp(j)} / (${seen.map(exp).join(" + ")}) = ${two(weights[j])}. ${most}`]
          : [say`${weight} = 0, because ${score} is masked.`, ` ${most}`];
      },
      () => {
        const [old, fresh] = [vector(this.features[chosen], trimmed), vector(state, three)];
        return [say`The new state of node ${i} is the weighted sum of the values of its neighbours: ${old} becomes ${fresh}.`];
      },
    ][step - 1]();
  }
}

customElements.define("gat-attention", Attention);
