// The gated recurrent unit: `gru_cell` in gatutils.book.figures.

// torch.nn.GRUCell with one hidden unit; the gates z and r are given.
function unit({ z, r, x, h, W, U }) {
  const candidate = Math.tanh(W * x + r * (U * h));
  return { candidate, state: z * h + (1 - z) * candidate };
}

const inside = (text) => (text.startsWith("−") ? `(${text})` : text); // as a factor or a term
const percent = (x) => (x > 0 && x < 0.005 ? say`less than 1%` : `${Math.round(100 * x)}%`);

// Whose slider it is, and from where to where it goes.
const DIALS = { z: [0, 1, 0.05], r: [0, 1, 0.05], x: [-2, 2, 0.1], h: [-1, 1, 0.1] };

// A pipe is as wide as all of it; what flows through is as wide as its gate is open.
const WIDTH = 36;
const BOXES = { h: [2, 34], new: [280, 34], x: [2, 181], candidate: [135, 181] };
const PIPES = { // a line, the tip of its arrow and where that points, its gate
  z: ["M90 66H280", [280, 66, 0], [189, 66, 0]],
  r: ["M50 98V129Q50 139 60 139H173Q183 139 183 149V181", [183, 181, 90], [92, 139, 0]],
  x: ["M90 213H135", [135, 213, 0]],
  rest: ["M225 213H318Q328 213 328 203V98", [328, 98, -90], [328, 150, 90]],
};

class GRUCell extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --old: var(--pst-color-primary, currentColor); margin: auto; max-width: 44rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    .middle { align-items: center; display: grid; gap: 0.5rem 1.5rem;
      grid-template-columns: minmax(0, 1fr) 17.5rem; }
    svg { display: block; fill: currentColor; overflow: visible; stroke: currentColor;
      width: 100%; }
    path { fill: none; }
    .pipe { stroke: var(--hair); stroke-width: ${WIDTH}; }
    .flow { stroke: color-mix(in srgb, currentColor 45%, var(--ground));
      transition: stroke-width 250ms; }
    .old .flow { stroke: var(--old); }
    .tip { fill: var(--ground); stroke: none; }
    .door { stroke: none; transition: transform 250ms; }
    .box rect { fill: var(--ground); stroke-width: 1.5; }
    .box.h rect { stroke: var(--old); stroke-width: 2.5; }
    .box.new rect { stroke-width: 2.5; }
    text { font-size: 13.25px; stroke: none; text-anchor: middle; }
    .number { font-size: 13.5px; font-weight: 700; }
    .label { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; text-anchor: start; }
    .label.end { text-anchor: end; }
    .dial { align-items: end; display: grid; grid-template: "name value" / 1fr max-content; }
    .dial label { grid-area: name; line-height: 1.2; padding-top: 0.4rem; }
    output { font-weight: 600; grid-area: value; line-height: 1.2; text-align: end; }
    input { accent-color: currentColor; display: block; grid-column: 1 / -1; height: 2.5rem;
      width: 100%; }
    input:focus-visible { outline-offset: -3px; }
    [name=z], [name=h] { accent-color: var(--old); }
    .sums { display: grid; grid-template-columns: max-content minmax(0, 1fr);
      margin-top: 0.75rem; }
    .sums > div { border-block: 1px solid var(--hair); column-gap: 1rem; display: grid;
      grid-column: 1 / -1; grid-template-columns: subgrid; margin-top: -1px; padding: 0.4rem 0.5rem; }
    .sums span span { display: inline-block; white-space: pre; }
    .kept { color: var(--old); }
    .title { font-size: 0.9rem; margin: 1rem 0 0.25rem; text-align: center; text-wrap: balance; }
    sup { font-size: 0.85em; line-height: 0; }
    ol { align-items: end; display: grid; grid-auto-columns: 1fr; grid-auto-flow: column;
      list-style: none; margin: 0; padding: 0; }
    li { font-size: 0.78rem; text-align: center; }
    li i { background: var(--old); border-radius: 2px 2px 0 0; display: block;
      height: calc(4rem * var(--left)); margin: 0 12%; min-height: 1px; transition: height 250ms; }
    li small { border-top: 1px solid var(--muted); display: block; font-size: 1em; }
    .says { min-height: 3em; text-wrap: balance; }
    @container (max-width: 39rem) {
      .middle { grid-template-columns: minmax(0, 1fr); }
      .picture { margin: auto; max-width: 25rem; width: 100%; }
      .dial { align-items: center; column-gap: 0.5rem;
        grid-template: "name slider value" / 7.2rem minmax(0, 1fr) 2.8rem; }
      .dial label { padding: 0; }
      input { grid-area: slider; }
      .sums { grid-template-columns: minmax(0, 1fr); }
      .says { min-height: 6em; }
    }
    @media (prefers-reduced-motion: reduce) { .flow, .door, li i { transition: none; } }`;

  static page = `
    <div class="live">
      <div class="middle">
        <div class="picture"><svg viewBox="0 0 378 250" aria-hidden="true"></svg></div>
        <div class="dials" role="group"></div>
      </div>
      <div class="sums">
        <div><span>${say`candidate`}</span><span class="candidate"></span></div>
        <div><span>${say`new state`}</span><span class="state"></span></div>
      </div>
      <p class="title">${
        say`share of the first state that the update gate leaves after t steps, z<sup>t</sup>`}</p>
      <ol></ol>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { steps, labels } = this.data;
    this.at = { ...this.data };
    const [[input, x], [state, h]] = [labels.x, labels.h].map(([lines, symbol]) =>
      [lines.join(" "), symbol]);
    this.called = { input, state, x, h };
    this.$(".dials").setAttribute("aria-label", say`gates, ${input} and ${state}`);
    this.draw();
    const words = { z: say`update gate z`, r: say`reset gate r`, x: `${input} ${x}`, h: `${state} ${h}` };
    for (const [name, [min, max, step]] of Object.entries(DIALS)) {
      const slider = make("input", { type: "range", id: name, name, min, max, step });
      slider.value = this.at[name];
      slider.addEventListener("input", () => {
        this.at[name] = Number(slider.value);
        this.show();
      });
      this.$(".dials").append(make("div", { class: "dial" },
        make("label", { for: name }, words[name]), slider, make("output", { for: name })));
    }
    this.$("ol").append(...Array.from({ length: steps + 1 }, (_, t) =>
      make("li", {}, make("span"), make("i"), make("small", {}, t))));
    this.show();
  }

  // Pipes, what flows in them, gates with two doors each, and boxes for the four numbers.
  draw() {
    const pipe = ([name, [line, [x, y, turn]]]) => `
      <g class="${name === "z" || name === "r" ? "old" : ""}" data-pipe="${name}">
        <path class="pipe" d="${line}"/><path class="flow" d="${line}"/>
        <polygon class="tip" transform="translate(${x} ${y}) rotate(${turn})"
          points="-3,0 -12,6 -12,-6"/></g>`;
    const half = WIDTH / 2;
    const gate = ([name, [, , [x, y, turn]]]) => `
      <g data-gate="${name}" transform="translate(${x} ${y}) rotate(${turn})">
        <rect class="door" x="-3.5" y="${-half}" width="7" height="${half}"/>
        <rect class="door" x="-3.5" y="0" width="7" height="${half}"/></g>`;
    const { labels } = this.data;
    const lines = { x: labels.x[0], h: labels.h[0], new: [say`new state`], candidate: [say`candidate`] };
    const box = ([name, [x, y]]) => `
      <g class="box ${name}" transform="translate(${x} ${y})"><rect width="96" height="64" rx="8"/>
        ${lines[name].map((_, k, { length }) =>
          `<text class="word" x="48" y="${(length > 1 ? 18 : 26) + 15 * k}"/>`).join("")}
        <text class="number" x="48" y="${lines[name].length > 1 ? 54 : 48}"/></g>`;
    const pipes = Object.entries(PIPES);
    this.$("svg").innerHTML = `${pipes.map(pipe).join("")}
      ${pipes.filter(([, parts]) => parts[2]).map(gate).join("")}
      ${Object.entries(BOXES).map(box).join("")}
      <text class="label z" x="124" y="20"/><text class="label r" x="104" y="114"/>
      <text class="label end rest" x="288" y="155"/>`;
    for (const name of Object.keys(BOXES))
      this.all(`.box.${name} .word`).forEach((text, k) => { text.textContent = lines[name][k]; });
  }

  show() {
    const { at, data: { steps } } = this, { z, r, x, h } = at;
    const found = unit(at);
    for (const name of Object.keys(DIALS)) {
      const slider = this.$(`[name=${name}]`);
      slider.nextElementSibling.textContent = trimmed(at[name]);
      slider.setAttribute("aria-valuetext", trimmed(at[name]));
    }
    const opened = { z, r, x: 1, rest: 1 - z };
    for (const [name, share] of Object.entries(opened)) {
      this.$(`[data-pipe=${name}] .flow`).style.strokeWidth = `${WIDTH * share}px`;
      const doors = this.$(`[data-gate=${name}]`)?.children ?? [];
      [...doors].forEach((door, k) => {
        door.style.transform = `translateY(${(k ? 1 : -1) * share * WIDTH / 2}px)`;
      });
    }
    const { called } = this;
    const numbers = { h: [called.h, trimmed(h)], x: [called.x, trimmed(x)],
      candidate: [`${called.h}\u0303`, two(found.candidate), found.candidate],
      new: [`${called.h}′`, two(found.state), found.state] };
    for (const [name, [symbol, text, exact]] of Object.entries(numbers)) {
      const number = this.$(`.box.${name} .number`);
      number.textContent = `${symbol} = ${text}`;
      if (exact !== undefined) number.dataset.value = exact;
    }
    this.$(".label.z").textContent = `${say`update gate z`} = ${trimmed(z)}`;
    this.$(".label.r").textContent = `${say`reset gate r`} = ${trimmed(r)}`;
    this.$(".label.rest").textContent = `1 − z = ${trimmed(1 - z)}`;
    this.write(found);
    [...this.$("ol").children].forEach((bar, t) => {
      bar.dataset.value = z ** t;
      bar.style.setProperty("--left", z ** t);
      bar.firstChild.textContent = t === 0 || z === 1 ? "1" : z === 0 ? "0" : (z ** t).toFixed(2);
    });
    const words = this.words(found, steps);
    if (this.$(".says").textContent !== words) this.$(".says").textContent = words;
  }

  // Both formulas, with numbers; each part stays on one line.
  write({ candidate, state }) {
    const { z, r, x, h, W, U } = this.at;
    const part = (...content) => make("span", {}, ...content);
    const [dx, dh, dz, dr] = [x, h, z, r].map((number) => inside(trimmed(number)));
    const rest = trimmed(1 - z), { x: c, h: s } = this.called; // their symbols
    this.$(".sums .candidate").replaceChildren(
      part(`${s}\u0303 = tanh(W ${c} + r · U ${s}) `),
      part(`= tanh(${trimmed(W)} · ${dx} + ${dr} · ${inside(trimmed(U))} · ${dh}) `),
      part(`= ${two(candidate)}`));
    const kept = make("b", { class: "kept" }, `${dz} · ${dh}`);
    this.$(".sums .state").replaceChildren(
      part(`${s}′ = z ${s} + (1 − z) ${s}\u0303 `),
      part("= ", kept, ` + ${rest} · ${inside(two(candidate))} `),
      part("= ", make("b", {}, two(state))));
  }

  words({ candidate, state }, steps) {
    const { z, r, h } = this.at, { input, state: old, h: symbol } = this.called;
    const [share, rest, left, open] = [z, 1 - z, z ** steps, r].map(percent);
    const equation = `${symbol}′ = ${symbol} = ${trimmed(h)}`, number = trimmed(h);
    const [found, fresh] = [candidate, state].map(two);
    const after = steps === 1 ? say`After 1 step, ${left} of the first state is left.`
      : say`After ${steps} steps, ${left} of the first state is left.`;
    const mixed = say`The new state is ${share} ${old} and ${rest} candidate: ${number} becomes ${fresh}.`;
    const kept = z === 1
      ? say`The update gate is 1: the state is kept exactly, ${equation}, whatever the ${input} is, at every step.`
      : z === 0
        ? say`The update gate is 0: the ${old} is overwritten, and the new state is the candidate, ${found}.`
        : `${mixed} ${after}`;
    const seen = r === 0 ? say`The reset gate is 0: the candidate depends on the ${input} alone.`
      : r === 1 ? say`The reset gate lets all of U ${symbol}, the ${old}’s part, into the candidate.`
        : say`The reset gate lets ${open} of U ${symbol}, the ${old}’s part, into the candidate.`;
    return `${kept} ${seen}`;
  }
}

customElements.define("gat-gru-cell", GRUCell);
