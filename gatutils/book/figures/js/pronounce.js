// Words, how models pronounce them, and what one attends to: `pronounce` in gatutils.book.figures.

// What was said beside what is right, phoneme by phoneme, with as few errors as possible: each
// entry [kind, phoneme said, right phoneme] is "right", "swapped", "extra" or "missing". Of two ways
// with as many errors, the one with fewer swapped phonemes is chosen: it has more that are right.
function compare(said, right) {
  const GAP = 1000, swap = (i, j) => (said[i - 1] === right[j - 1] ? 0 : GAP + 1);
  const costs = []; // costs[j][i]: of the first i phonemes said beside the first j right ones
  for (let j = 0; j <= right.length; j++) {
    costs.push([]);
    for (let i = 0; i <= said.length; i++)
      costs[j].push(i + j === 0 ? 0 : Math.min(i ? costs[j][i - 1] + GAP : Infinity,
        j ? costs[j - 1][i] + GAP : Infinity,
        i && j ? costs[j - 1][i - 1] + swap(i, j) : Infinity));
  }
  const entries = [];
  let [i, j] = [said.length, right.length];
  while (i + j > 0) {
    if (i && j && costs[j][i] === costs[j - 1][i - 1] + swap(i, j)) {
      const kind = swap(i, j) ? "swapped" : "right";
      entries.unshift([kind, said[--i], right[--j]]);
    } else if (i && costs[j][i] === costs[j][i - 1] + GAP) entries.unshift(["extra", said[--i]]);
    else entries.unshift(["missing", undefined, right[--j]]);
  }
  return entries;
}

const wrong = (entries) => entries.filter(([kind]) => kind !== "right").length;

// The nearest right pronunciation counts.
const nearest = (said, ways) => ways.map((right) => compare(said, right))
  .reduce((best, entries) => (wrong(entries) < wrong(best) ? entries : best));

const sounds = (text) => text.split(" ").filter(Boolean);

// How many letters two words have in common at their beginning.
function shared(one, other) {
  let count = 0;
  while (count < one.length && one[count] === other[count]) count++;
  return count;
}

class Pronounce extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 48rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .unseen { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute;
      white-space: nowrap; width: 1px; }
    .controls { align-items: end; display: flex; flex-wrap: wrap; gap: 0.5rem; }
    label { flex: 1 1 10rem; font-size: 0.85rem; }
    input { background: transparent; border: 1px solid var(--muted); border-radius: 0.3rem;
      display: block; font-size: 1.1rem; margin-top: 0.3rem; height: 2.75rem; padding: 0 0.7rem; width: 100%; }
    button { background: transparent; border: 1px solid var(--muted); border-radius: 0.3rem;
      cursor: pointer; min-height: 2.5rem; min-width: 2.75rem; padding: 0 0.6rem; }
    .random { min-height: 2.75rem; }
    .examples { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-top: 0.5rem; }
    .examples:empty { display: none; }
    [aria-pressed=true] { border-color: var(--now); box-shadow: inset 0 0 0 1px var(--now);
      color: var(--now); font-weight: 600; }
    .missed { margin: 0.5rem 0 0; }
    .missed:empty { display: none; }

    .head { align-items: baseline; display: flex; flex-wrap: wrap; gap: 0 0.75rem;
      margin: 1rem 0 0.5rem; }
    .head b { font-size: 1.35rem; font-weight: 600; line-height: 1.3; }
    .said { display: grid; gap: 0.5rem 0.75rem; grid-template-columns: max-content 1fr;
      margin: 0; }
    .said dt { font-weight: 600; line-height: 1.35; padding-top: 0.3rem; }
    .said dt small { display: block; font-size: 0.8rem; }
    .said dd { display: flex; flex-wrap: wrap; gap: 0.3rem 0.6rem; margin: 0; }
    .or { align-self: center; font-size: 0.85rem; }
    ol { display: flex; flex-wrap: wrap; gap: 0.3rem; list-style: none; margin: 0; padding: 0; }
    li { border: 1px solid var(--hair); border-radius: 0.3rem; line-height: 1.2; min-width: 2.6rem;
      padding: 0.2rem 0.3rem; position: relative; text-align: center; }
    li b { display: block; font-weight: 600; }
    li small, th small { font-size: 0.75rem; font-weight: 400; }
    u { text-decoration-thickness: 1px; text-underline-offset: 0.15em; }
    li:is(.swapped, .extra, .missing) { border: 2px solid currentColor;
      padding: calc(0.2rem - 1px) calc(0.3rem - 1px); }
    li:is(.swapped, .extra) b { text-decoration: underline wavy 1px; text-underline-offset: 0.15em; }
    li.missing { border-style: dashed; }
    li.missing b { font-weight: 400; }
    .cross { background: var(--ground); border-radius: 50%; font-size: 0.75rem; font-weight: 700;
      inset: -0.5rem -0.4rem auto auto; line-height: 1; padding: 0.1rem; position: absolute; }

    .legend { color: var(--muted); font-size: 0.8rem; line-height: 1.4; margin: 0.5rem 0 0; }
    .scroll { margin-top: 1.25rem; overflow-x: auto; }
    table { --label: 5.5rem; --size: max(1.25rem, min(3rem, (100cqi - var(--label)) / var(--columns)));
      border-collapse: separate; border-spacing: 0; font-size: 0.85rem; margin: auto;
      table-layout: fixed; width: calc(var(--label) + var(--columns) * var(--size)); }
    caption { font-size: 0.85rem; line-height: 1.4; padding-bottom: 0.4rem; text-wrap: balance; }
    th, td { font-weight: 400; height: 1.9rem; padding: 0; text-align: center; white-space: nowrap; }
    th[scope=col] { font-size: 1.05rem; font-weight: 600; width: var(--size); }
    .corner, th[scope=row] { width: var(--label); }
    th[scope=row] { padding-inline-end: 0.5rem; text-align: end; }
    th[scope=row] b { font-size: 0.95rem; font-weight: 600; }
    th small { margin-inline-start: 0.3rem; }
    tbody td { background-color: color-mix(in srgb, var(--weight) calc(4% + var(--w) * 0.36%),
      var(--ground)); border: solid var(--ground); border-width: 0 1px 1px 0; }
    .most { box-shadow: inset 0 0 0 2px var(--weight); font-weight: 600; }
    .says { min-height: 3em; text-wrap: pretty; }
    @media (prefers-reduced-motion: no-preference) {
      .fresh { animation: come 0.3s ease-out; }
      @keyframes come { from { opacity: 0; transform: translateY(0.4rem); } }
    }
    @container (max-width: 32rem) {
      .said { gap: 0.2rem; grid-template-columns: 1fr; }
      .said dt { padding-top: 0.4rem; }
      .said dt small { display: inline; margin-inline-start: 0.4rem; }
      table { --label: 4.25rem; font-size: 0.75rem; }
      table.long { --label: 1.9rem; }
      .long th small { display: none; }
      .long td { font-weight: 400; letter-spacing: -0.06em; }
      th[scope=row] { padding-inline-end: 0.35rem; }
      .says { font-size: 0.9rem; text-align: start; }
    }`;

  static page = `
    <div class="live">
      <div class="controls">
        <label>${say`an English word`} <input type="text" list="words" autocomplete="off"
          autocapitalize="none" spellcheck="false" enterkeyhint="go"></label>
        <datalist id="words"></datalist>
        <button type="button" class="random">${say`random word`}</button>
      </div>
      <div class="examples" role="group" aria-label="${say`examples`}"></div>
      <p class="missed" role="status"></p>
      <p class="head"><b></b><span class="set"></span></p>
      <dl class="said"></dl>
      <p class="legend">${
        say`Below each phoneme is a word whose underlined letters have that sound. ✗ marks what differs from the dictionary.`}</p>
      <div class="scroll" role="region" aria-label="${say`attention weights`}"></div>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { words, start, examples } = this.data, input = this.$("input");
    this.lines = new Map(words.split("\n").map((line) => [line.split("|", 1)[0], line]));
    this.$("datalist").append(...[...this.lines.keys()].map((word) => make("option", { value: word })));
    this.buttons = examples.map((word) => make("button", { type: "button" }, word));
    this.$(".examples").append(...this.buttons);
    this.buttons.forEach((button) =>
      button.addEventListener("click", () => this.show(button.textContent)));
    this.$(".random").addEventListener("click", () => {
      const others = [...this.lines.keys()].filter((word) => word !== this.word);
      this.show(others[Math.floor(Math.random() * others.length)] ?? this.word);
    });
    input.addEventListener("focus", () => input.select()); // the next word takes its place
    input.addEventListener("input", () => this.typed(false));
    input.addEventListener("change", () => this.typed(true));
    input.addEventListener("keydown", (event) => event.key === "Enter" && this.typed(true));
    this.show(start);
    new ResizeObserver(() => this.fit()).observe(this);
  }

  // What scrolls must be reached by keyboard; what does not is no stop.
  fit() {
    const grid = this.$(".scroll");
    if (grid.scrollWidth > grid.clientWidth + 1) grid.tabIndex = 0;
    else grid.removeAttribute("tabindex");
  }

  // A stored word is shown as soon as it is complete. While a stored word may still become of it,
  // what is typed is not called unknown.
  typed(done) {
    const text = this.$("input").value.trim().toLowerCase(), all = [...this.lines.keys()];
    if (this.lines.has(text)) return this.show(text, done);
    if (!text || (!done && all.some((word) => word.startsWith(text)))) return this.miss("");
    const near = all.filter((word) => shared(word, text) > 0)
      .sort((a, b) => shared(b, text) - shared(a, text)).slice(0, 3);
    const words = near.join(", ");
    this.miss([say`How the models pronounce “${text}” is not stored.`,
      ...(near.length ? [say`Stored words that begin like it: ${words}.`] : [])].join(" "));
  }

  miss(sentence) {
    if (this.$(".missed").textContent !== sentence) this.$(".missed").textContent = sentence;
  }

  show(word, write = true) {
    this.miss("");
    if (write) this.$("input").value = word;
    if (word === this.word) return;
    this.word = word;
    const [, trained, right, ...rest] = this.lines.get(word).split("|");
    const rows = rest.pop().split("/").map((row) => row.split(",").map(Number));
    const ways = right.split(";").map(sounds);
    const said = rest.map((text) => nearest(sounds(text), ways));
    this.buttons.forEach((button) =>
      button.setAttribute("aria-pressed", button.textContent === word));
    this.$(".head b").textContent = word;
    this.$(".set").textContent = trained === "1" ? say`is in the training set`
      : say`is in the test set: no model was trained on it`;

    const or = ways.flatMap((way, k) => [...(k ? [make("span", { class: "or" }, say`or`)] : []),
      this.spoken(way.map((sound) => ["right", sound]))]);
    this.$(".said").replaceChildren(make("dt", {}, say`dictionary`), make("dd", {}, ...or),
      ...said.flatMap((entries, k) => [
        make("dt", {}, this.data.models[k], make("small", {}, verdict(entries))),
        make("dd", {}, this.spoken(entries))]));

    const own = sounds(rest.at(-1));
    this.$(".scroll").replaceChildren(this.grid(word, own, rows));
    this.fit();
    const weights = [...own, say`the end`].map((sound, i) => {
      const letter = word[rows[i].indexOf(Math.max(...rows[i]))];
      return say`${sound} on ${letter}`;
    }).join(", ");
    const models = this.data.models.map((model, k) => {
      const sounds = rest[k] || say`nothing`;
      if (k > 0) return wrong(said[k]) ? say`with ${model}, it says ${sounds}, which is wrong`
        : say`with ${model}, it says ${sounds}, which is right`;
      return wrong(said[k]) ? say`with ${model}, the model says ${sounds}, which is wrong`
        : say`with ${model}, the model says ${sounds}, which is right`;
    });
    const highest = say`The highest weights: ${weights}.`;
    this.$(".says").textContent = `“${word}”: ${models.join("; ")}. ${highest}`;
  }

  // A list of phonemes, each above a word that contains it.
  spoken(entries) {
    const items = entries.map(([kind, said, right]) => {
      const sound = said ?? right;
      const note = { swapped: say`, wrong: ${right} in the dictionary`, missing: say`, missing`,
        extra: say`, wrong: not in the dictionary` }[kind];
      const item = make("li", { class: kind }, make("b", {}, sound),
        kind === "missing" ? make("small", { "aria-hidden": true }, say`missing`) : this.example(sound));
      if (note) item.append(make("span", { class: "unseen" }, note));
      if (note) item.append(make("span", { class: "cross", "aria-hidden": true }, "✗"));
      return item;
    });
    return items.length ? make("ol", { class: "fresh", role: "list" }, ...items)
      : make("span", { class: "or" }, say`nothing`);
  }

  example(sound) {
    const [before, letters, after] = this.data.sounds[sound].split("-");
    return make("small", { title: say`the sound ${sound}` }, before, make("u", {}, letters), after);
  }

  grid(word, own, rows) {
    const letters = [...word];
    const head = make("tr", {}, make("td", { class: "corner" }),
      ...letters.map((letter) => make("th", { scope: "col" }, letter)));
    const body = rows.map((row, i) => {
      const label = i < own.length ? [make("b", {}, own[i]), this.example(own[i])] : [say`end`];
      return make("tr", {}, make("th", { scope: "row" }, ...label), ...row.map((percent) => {
        const number = make("span", percent < 10 ? { class: "unseen" } : {}, String(percent));
        const cell = make("td", { "data-weight": percent,
          class: percent === Math.max(...row) ? "most" : "" }, number);
        cell.style.setProperty("--w", percent);
        return cell;
      }));
    });
    const weights = make("span", { class: "weight" }, say`attention weights`);
    const table = make("table", { class: letters.length > 12 ? "fresh long" : "fresh" },
      make("caption", {},
        say`${weights} in percent: a row for each phoneme that is written, a column for each letter`),
      make("thead", {}, head), make("tbody", {}, ...body));
    table.style.setProperty("--columns", letters.length);
    return table;
  }
}

function verdict(entries) {
  const errors = wrong(entries);
  return errors > 1 ? say`✗ wrong, ${errors} errors` : errors ? say`✗ wrong, 1 error` : say`✓ right`;
}

customElements.define("gat-pronounce", Pronounce);
