// A decoder with attention, word by word: `decoder` in gatutils.book.figures.

const PAUSE = 1600; // milliseconds from word to word

class Decoder extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 48rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .controls { align-items: center; display: flex; gap: 0.5rem; margin-bottom: 1rem; }
    button { background: transparent; border: 1px solid var(--muted); border-radius: 0.3rem;
      cursor: pointer; min-height: 2.5rem; min-width: 2.75rem; padding: 0 0.7rem;
      white-space: nowrap; }
    [aria-disabled=true] { border-color: var(--hair); color: var(--masked); }
    [type=range] { accent-color: currentColor; flex: 1; height: 2.5rem; min-width: 0; }
    .play { min-width: 5.2rem; }
    @media (prefers-reduced-motion: reduce) { .play { display: none; } }

    small { font-size: 0.8rem; }
    .drawing { display: grid; gap: 2.5rem; position: relative; }
    .drawing > svg { fill: none; height: 100%; inset: 0; overflow: visible; pointer-events: none;
      position: absolute; width: 100%; }
    .bracket { stroke: currentColor; stroke-opacity: 0.6; stroke-width: 1.5; }
    .lines g { color: var(--weight); }
    .lines path { stroke: currentColor; }
    .lines polygon { fill: currentColor; }
    .lane { align-items: center; display: flex; gap: 0.75rem; justify-content: center;
      position: relative; }
    .lane p { font-size: 0.85rem; line-height: 1.35; margin: 0; text-align: end; width: 11rem; }
    .lane p b { display: block; font-weight: 600; }
    .lane > :last-child { flex: 0 0 11rem; }
    .attention { margin-top: 1.5rem; }
    .box { background: color-mix(in srgb, currentColor 6%, var(--ground)); border: 1.5px solid
      currentColor; border-radius: 0.4rem; min-width: 5.5rem; padding: 0.35rem 0.6rem;
      text-align: center; }
    .attention .vector { background: color-mix(in srgb, var(--value) 14%, var(--ground));
      border-color: var(--value); }
    .out { border: 0; font-weight: 600; line-height: 1.3; text-align: start; }
    .out small { display: block; }
    .source { display: flex; font-size: 0.9rem; gap: 0.3rem; justify-content: center; list-style: none; margin: 0;
      padding: 0; }
    .source li { background-color: color-mix(in srgb, var(--weight) calc(4% + var(--w) * 36%),
      var(--ground)); border-radius: 0.25rem; min-width: 2.75em; padding: 0.2rem 0.25rem;
      text-align: center; }
    .number { display: block; font-size: 0.8rem; min-height: 1.5em; }
    .most .number { font-weight: 700; }
    .target { display: flex; flex-wrap: wrap; gap: 0.4rem 0.9rem; justify-content: center;
      list-style: none; margin: 1.5rem 0 0; padding: 0; }
    .target li { border-bottom: 3px solid transparent; line-height: 1.35; text-align: center; }
    .target small { display: block; min-height: 1.35em; }
    .target .later { visibility: hidden; }
    .target .now { border-color: var(--now); font-weight: 700; }
    .says { min-height: 3em; text-wrap: balance; }
    @media (prefers-reduced-motion: no-preference) {
      .source li { transition: background-color 0.3s; }
      .lines g { transition: opacity 0.3s; }
      .lines path { transition: stroke-width 0.3s; }
      .lines polygon { transition: transform 0.3s; }
      .now { animation: come 0.3s ease-out; }
      @keyframes come { from { transform: translateY(-0.4rem); } }
    }

    /* The source words in a column, between the two vectors. */
    .tall .drawing { align-items: center; gap: 0;
      grid-template-columns: minmax(5.25rem, 7rem) 1.75rem max-content minmax(3rem, 8rem)
        minmax(5rem, 7rem); justify-content: center; }
    .tall .source { flex-direction: column; gap: 0.2rem; grid-area: 1 / 3; }
    .tall .source li { display: flex; gap: 0.75rem; justify-content: space-between;
      padding: 0.05rem 0.4rem; }
    .tall .number { display: inline; font-size: 0.85rem; line-height: 1.75; min-width: 2.2em;
      text-align: end; }
    .tall .lane { flex-direction: column; gap: 0.3rem; }
    .tall .lane :is(p, .out) { flex: none; font-size: 0.8rem; text-align: center; width: 100%; }
    .tall .lane .out { font-size: 0.95rem; padding: 0.3rem; }
    .tall .box { min-width: 3.5rem; }
    .tall .one { grid-area: 1 / 1; } .tall .attention { grid-area: 1 / 5; margin: 0; }
    .tall .sign { transform: rotate(90deg); }
    @container (max-width: 32rem) {
      .controls { flex-wrap: wrap; }
      [type=range] { flex: 1 0 100%; order: 1; }
      .next { flex: 1; }
      .says { font-size: 0.9rem; min-height: 4.5em; }
    }`;

  static page = `
    <div class="live">
      <div class="controls">
        <button type="button" class="back" aria-label="${say`previous word`}">←</button>
        <input type="range" aria-label="${say`word`}" min="0" step="1">
        <button type="button" class="next">${say`next word →`}</button>
        <button type="button" class="play">${say`▶ play`}</button>
      </div>
      <div class="drawing">
        <svg aria-hidden="true"><path class="bracket"/><g class="lines"></g></svg>
        <div class="lane one"><p><b>${say`one context vector`}</b>${say`no weights`}</p>
          <div class="box vector"><i>c</i></div><span class="sign" aria-hidden="true">→</span>
          <div class="box out">${say`every word`}<small>${say`the same <i>c</i>`}</small></div></div>
        <ol class="source" role="list" aria-label="${say`source words, with their weights`}"></ol>
        <div class="lane attention"><p><b>${say`attention`}</b>${
          say`<span class="weight">weights</span> of its own for each word`}</p>
          <div class="box vector"><i>c</i><sub></sub></div><span class="sign" aria-hidden="true">→</span>
          <div class="box out"></div></div>
      </div>
      <ol class="target" role="list" aria-label="${say`words written`}"></ol>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { source, target, glosses, start } = this.data;
    this.words = source.map((word) => make("li", {}, make("span", { class: "word" }, word),
      make("span", { class: "number" })));
    this.written = target.map((word, i) => make("li", {}, word, make("small", {}, glosses[i])));
    this.$(".source").append(...this.words);
    this.$(".target").append(...this.written);
    this.$(".lines").innerHTML = source.map(() =>
      '<g><path/><polygon points="0,0 -7,3.5 -7,-3.5"/></g>').join("");
    this.lines = [...this.$(".lines").children];

    const slider = this.$("input");
    slider.max = target.length - 1;
    slider.addEventListener("input", () => this.go(Number(slider.value)));
    this.$(".back").addEventListener("click", () => this.go(this.at - 1));
    this.$(".next").addEventListener("click", () => this.go(this.at + 1));
    this.$(".play").addEventListener("click", () => this.play(!this.timer));
    new ResizeObserver(() => this.place()).observe(this);
    this.show(start);
    this.place();
  }

  disconnectedCallback() {
    this.play(false);
  }

  // The reader moves on by hand: the playing ends.
  go(i) {
    this.play(false);
    this.show(Math.min(Math.max(i, 0), this.data.target.length - 1));
  }

  play(on) {
    clearInterval(this.timer);
    this.timer = 0;
    const last = this.data.target.length - 1;
    if (on) {
      if (this.at === last) this.show(0);
      this.timer = setInterval(() => {
        this.show(this.at + 1);
        if (this.at === last) this.play(false);
      }, PAUSE);
    }
    this.$(".play").textContent = on ? say`❚❚ pause` : say`▶ play`;
  }

  show(i) {
    this.at = i;
    const { source, target, glosses, weights } = this.data, row = weights[i];
    const last = target.length - 1, best = Math.max(...row);
    const place = i + 1, count = last + 1, word = target[i];
    const named = `“${word}”${glosses[i] && ` (${glosses[i]})`}`;
    this.$("input").value = i;
    this.$("input").setAttribute("aria-valuetext", say`word ${place} of ${count}: ${word}`);
    this.$(".back").setAttribute("aria-disabled", i === 0);
    this.$(".next").setAttribute("aria-disabled", i === last);
    this.words.forEach((item, j) => {
      item.dataset.weight = row[j];
      item.style.setProperty("--w", row[j]);
      item.classList.toggle("most", row[j] === best);
      item.lastChild.textContent = row[j] < 0.005 ? "" : row[j].toFixed(2);
    });
    this.lines.forEach((line, j) => {
      line.style.opacity = row[j] < 0.005 ? 0 : 0.25 + 0.75 * row[j];
      line.firstChild.style.strokeWidth = `${0.75 + 7 * row[j]}px`;
      line.lastChild.style.setProperty("--size", 0.6 + 2 * row[j]);
    });
    this.written.forEach((item, k) => {
      item.className = k > i ? "later" : k === i ? "now" : "";
      if (k === i) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    this.$(".attention sub").textContent = place;
    this.$(".attention .out").replaceChildren(target[i], make("small", {}, glosses[i]));
    const most = inWords(source, row);
    this.$(".says").textContent = most.endsWith("…")
      ? say`To write word ${place}, ${named}, the decoder attends to ${most}`
      : say`To write word ${place}, ${named}, the decoder attends to ${most}.`;
  }

  // Words in a row where they fit, else in a column; then the lines, from where all stands.
  place() {
    const live = this.$(".live");
    live.classList.remove("tall");
    const [left, right] = [this.words[0], this.words.at(-1)].map((item) => item.getBoundingClientRect());
    const tall = right.right - left.left > this.clientWidth || this.clientWidth < 480;
    live.classList.toggle("tall", tall);

    const origin = this.$(".drawing").getBoundingClientRect();
    const box = (element) => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      const [l, r, t, b] = [left - origin.left, right - origin.left, top - origin.top,
        bottom - origin.top];
      return { l, r, t, b, x: (l + r) / 2, y: (t + b) / 2 };
    };
    const words = this.words.map(box), [c, own] = ["one", "attention"].map((lane) =>
      box(this.$(`.${lane} .vector`)));
    const [first, final] = [words[0], words.at(-1)];
    this.$(".bracket").setAttribute("d", tall
      ? `M${first.l - 4} ${first.y}h-9V${final.y}h9M${first.l - 13} ${c.y}H${c.r}`
      : `M${first.x} ${first.t - 4}v-9H${final.x}v9M${c.x} ${first.t - 13}V${c.b}`);
    this.lines.forEach((line, j) => {
      const share = words.length > 1 ? (j / (words.length - 1) - 0.5) * 0.7 : 0;
      const word = words[j];
      const [from, tip] = tall
        ? [[word.r + 2, word.y], [own.l - 2, own.y + share * (own.b - own.t)]]
        : [[word.x, word.b + 2], [own.x + share * (own.r - own.l), own.t - 2]];
      const angle = Math.atan2(tip[1] - from[1], tip[0] - from[0]);
      const end = [tip[0] - 6 * Math.cos(angle), tip[1] - 6 * Math.sin(angle)];
      line.firstChild.setAttribute("d", `M${from}L${end}`);
      line.lastChild.style.transform =
        `translate(${tip[0]}px, ${tip[1]}px) rotate(${angle}rad) scale(var(--size))`;
    });
  }
}

customElements.define("gat-decoder", Decoder);
