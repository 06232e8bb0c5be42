// One round of message passing: `message_passing` in gatutils.book.figures.

// gatutils.aggregate for one node, gatutils.readout for one graph; nothing to aggregate is 0.
const POOL = {
  sum: (numbers) => sum(numbers),
  mean: (numbers) => sum(numbers) / Math.max(numbers.length, 1),
  max: (numbers) => (numbers.length ? Math.max(...numbers) : 0),
};
const WAYS = Object.keys(POOL);
const SHOWN = { sum: say`sum`, mean: say`mean`, max: say`max` };
const NAMED = { sum: say`sum`, mean: say`mean`, max: say`maximum` };
const STEPS = [say`states`, say`aggregate`, say`combine`, say`readout`];

const plain = (x) => x.toFixed(2).replace(/\.?0+$/, ""); // 4.33, 2.5, 13

// "(1 + 2) / 2", as it is written by hand; one number alone needs no sum.
function written(numbers, way) {
  if (way === "max") return `max(${numbers.map(plain).join(", ")})`;
  const terms = numbers.map(plain).join(" + ");
  return way === "mean" ? `(${terms}) / ${numbers.length}` : terms;
}

class MessagePassing extends Figure {
  static style = `
    :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
      --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 44rem; }
    slot { display: none; }
    @media print { slot { display: contents; } .live { display: none; } }
    button { background: transparent; border: 0; cursor: pointer; min-height: 2.5rem; padding: 0; }
    .steps { display: grid; grid-template-columns: repeat(4, 1fr); }
    .steps button { border-bottom: 4px solid var(--hair); transition: border-color 250ms; }
    .steps [aria-pressed=true] { border-color: var(--now); color: var(--now); font-weight: 600; }
    .middle { align-items: center; display: grid; gap: 0.5rem 1.25rem;
      grid-template-columns: minmax(0, 1fr) 20rem; margin-top: 0.75rem; }
    svg { display: block; fill: currentColor; overflow: visible; stroke: currentColor;
      width: 100%; }
    path { fill: none; }
    polygon, text { stroke: none; }
    .edges { opacity: 0.3; }
    .sent { color: var(--value); }
    .chip rect, .summary rect { fill: var(--ground); stroke-width: 1.5; }
    .chip text { fill: var(--value); font-weight: 600; }
    text { font-size: 14px; text-anchor: middle; }
    .node { cursor: pointer; }
    .node circle { fill: var(--ground); transition: fill 250ms; }
    .node.new circle { fill: color-mix(in srgb, currentColor 7%, var(--ground)); }
    .sends circle { stroke: var(--value); stroke-width: 2; }
    [aria-pressed=true] circle { stroke: var(--query); stroke-width: 3; }
    .name { fill: var(--muted); }
    .large { font-size: 17px; font-weight: 700; }
    .own { color: var(--query); fill: var(--query); }
    .got { color: var(--value); fill: var(--value); }
    .whole { fill: none; stroke-dasharray: 2 5; transition: stroke-width 250ms; }
    .summary { opacity: 0; transition: opacity 250ms; }
    .read .summary { opacity: 1; }
    .read .whole { stroke-dasharray: none; stroke-width: 2.5; }
    .summary text { font-weight: 700; }
    table { border-collapse: collapse; width: 100%; }
    th, td { height: 2.5rem; padding: 0 0.3rem; text-align: end; white-space: nowrap; }
    th { font-size: 0.85rem; font-weight: 400; line-height: 1.25; }
    thead tr { border-bottom: 1px solid var(--muted); }
    thead th { height: 2.75rem; padding-bottom: 0.2rem; vertical-align: bottom; }
    thead th:nth-child(2) { text-align: start; }
    thead button { color: var(--muted); font-size: 0.85rem; margin-block: -1rem; min-width: 3rem;
      padding-top: 1.25rem; text-decoration: underline; }
    tbody tr { border-bottom: 1px solid var(--hair); }
    th:first-child { padding-inline-start: 0.5rem; text-align: start; }
    td:nth-child(2) { padding-inline-end: 0; width: 6.5rem; }
    td:nth-child(3) { width: 2.4em; }
    td:nth-child(4) { width: 4.6em; }
    td:nth-child(5) { font-weight: 700; width: 4.2em; }
    .chosen { box-shadow: inset 3px 0 var(--query); }
    .chosen th { color: var(--query); font-weight: 700; }
    tr.sends td:nth-child(3) { color: var(--value); font-weight: 600; }
    .later { visibility: hidden; }
    input { accent-color: currentColor; display: block; height: 2.5rem; width: 100%; }
    .sums { display: grid; grid-template-columns: max-content max-content minmax(0, 1fr);
      margin-top: 0.75rem; }
    .sums > div { align-items: center; border-top: 1px solid var(--hair); column-gap: 0.9rem;
      display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; min-height: 2.9rem;
      padding: 0.1rem 0.5rem; }
    .sums .now { background: color-mix(in srgb, var(--now) 8%, transparent); }
    .ways { display: flex; grid-column: 2; }
    .ways button { border: 1px solid var(--muted); margin-inline-start: -1px; min-width: 3.9rem;
      padding: 0 0.5rem; }
    .ways :first-child { border-radius: 0.4rem 0 0 0.4rem; }
    .ways :last-child { border-radius: 0 0.4rem 0.4rem 0; }
    .ways [aria-pressed=true] { background: color-mix(in srgb, var(--now) 16%, transparent);
      font-weight: 600; }
    .sum { grid-column: 3; }
    sub { font-size: 0.8em; line-height: 0; }
    .says { min-height: 3em; text-wrap: balance; }
    @container (max-width: 39rem) {
      .steps button { font-size: 0.85rem; }
      .steps small { font-size: 0.95em; }
      .middle { grid-template-columns: minmax(0, 1fr); }
      .graph { margin: auto; max-width: 24rem; width: 100%; }
      td:nth-child(2) { width: 40%; }
      .sums { grid-template-columns: max-content minmax(0, 1fr); }
      .sums > div { padding-block: 0.25rem; }
      .sum { grid-column: 1 / -1; min-height: 1.6em; }
      .alone .sum { grid-column: 2; }
      .says { min-height: 4.5em; }
    }
    @media (prefers-reduced-motion: reduce) {
      .steps button, .node circle, .whole, .summary { transition: none; }
    }`;

  static page = `
    <div class="live">
      <div class="steps" role="group" aria-label="${say`step`}"></div>
      <div class="middle">
        <div class="graph"><svg role="group" aria-label="${say`graph`}">
          <rect class="whole" rx="12"/><g class="edges"></g><g class="sent"></g></svg></div>
        <table>
          <thead><tr><th scope="col">${say`node`}</th>
            <th scope="col" colspan="2">${say`state h`} <button type="button">${say`reset`}</button></th>
            <th scope="col" class="got">${say`aggregate<br>c`}</th>
            <th scope="col">${say`new<br>state h′`}</th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
      <div class="sums">
        <div><span>${say`aggregate`}</span><span class="ways" role="group" aria-label="${say`aggregate`}"></span>
          <span class="sum"></span></div>
        <div class="alone"><span>${say`combine`}</span><span class="sum"></span></div>
        <div><span>${say`readout`}</span><span class="ways" role="group" aria-label="${say`readout`}"></span>
          <span class="sum"></span></div>
      </div>
      <p class="says" aria-live="polite"></p>
    </div>
    <slot></slot>`;

  start() {
    const { names, states, most, start, step, aggr, pooling } = this.data;
    this.states = [...states];
    this.$(".steps").append(...STEPS.map((name, k) =>
      make("button", { type: "button" }, make("small", {}, `${k + 1} `), name)));
    for (const ways of this.all(".ways"))
      ways.append(...WAYS.map((way) => make("button", { type: "button" }, SHOWN[way])));
    this.$("tbody").append(...names.map((name, i) => make("tr", {},
      make("th", { scope: "row" }, name),
      make("td", {}, make("input", { type: "range", min: 0, max: most,
        value: states[i], "aria-label": say`state of node ${name}` })),
      make("td"), make("td"), make("td"))));
    this.draw();

    const stops = (elements, act) => elements.forEach((stop, k) => {
      for (const kind of ["click", "focus"]) stop.addEventListener(kind, () => act(k));
      stop.addEventListener("keydown", (event) => {
        walk(event, elements);
        if (event.key === " " || event.key === "Enter") event.preventDefault(); // focus has chosen
      });
    });
    const groups = this.all(".ways").map((ways) => [...ways.children]);
    stops(this.all(".steps button"), (k) => this.show({ step: k + 1 }));
    stops(this.all(".node"), (i) => this.show({ chosen: i }));
    stops(groups[0], (k) => this.show({ aggr: WAYS[k] }));
    stops(groups[1], (k) => this.show({ pooling: WAYS[k] }));
    this.all("input").forEach((slider, i) => {
      slider.addEventListener("input", () => {
        this.states[i] = Number(slider.value);
        this.show();
      });
    });
    this.$("thead button").addEventListener("click", () => {
      this.states = [...states];
      this.show();
    });
    this.show({ chosen: start, step, aggr, pooling });
  }

  // What does not change: the frame around the whole graph, its edges, and its nodes.
  draw() {
    const { names, places, sources, size: [width, height], radius: r } = this.data;
    this.$("svg").setAttribute("viewBox", `0 0 ${width} ${height + 14}`);
    const box = { x: 1.5, y: 1.5, width: width - 3, height: height - 3 };
    for (const [name, value] of Object.entries(box)) this.$(".whole").setAttribute(name, value);
    this.way = (j, i) => straight(places[j], places[i], r + 2);
    const line = ({ from, tip }) => `<path d="M${from}L${tip}"/>`;
    this.$(".edges").innerHTML = sources.flatMap((seen, i) => seen.map((j) =>
      !sources[j].includes(i) ? arrow(this.way(j, i), 1.25)
        : j > i ? "" : line(this.way(j, i)))).join("");
    this.$("svg").insertAdjacentHTML("beforeend", `${places.map((at) => `
      <g class="node" role="button" transform="translate(${at})"><circle r="${r}"/>
        <text class="name" y="-15"/><text/><text class="large"/></g>`).join("")}
      <g class="summary" transform="translate(${width / 2} ${height - 1.5})">
        <rect x="-66" y="-14" width="132" height="28" rx="14"/><text y="5"/></g>`);
    this.all(".node").forEach((node, i) => {
      const name = names[i];
      node.children[1].textContent = say`node ${name}`;
      node.children[1].style.fontSize = `${Math.min(13, 85 / (name.length + 5))}px`;
    });
  }

  // The numbers of one round: what each node receives, its new state, and the readout.
  round() {
    const { sources } = this.data;
    const received = sources.map((seen) => POOL[this.aggr](seen.map((j) => this.states[j])));
    const fresh = this.states.map((own, i) => own + received[i]);
    return { received, fresh, summary: POOL[this.pooling](fresh) };
  }

  show({ chosen = this.chosen, step = this.step, aggr = this.aggr, pooling = this.pooling } = {}) {
    const moved = chosen !== this.chosen || step !== this.step;
    const first = this.step === undefined;
    Object.assign(this, { chosen, step, aggr, pooling });
    const found = this.round();
    choose(this.all(".steps button"), step - 1);
    choose(this.all(".node"), chosen);
    [aggr, pooling].forEach((way, k) =>
      choose([...this.all(".ways")[k].children], WAYS.indexOf(way)));
    if (moved) this.send(first);
    this.paint(found);
    this.tabulate(found, !first);
    this.write(found);
    const words = this.words(found);
    if (this.$(".says").textContent !== words) this.$(".says").textContent = words;
  }

  // Whether node j sends its state to the chosen node at this step.
  sends(j) {
    return (this.step === 2 || this.step === 3) && this.data.sources[this.chosen].includes(j);
  }

  // The arrows into the chosen node; the number on each sets out from the node that sends it.
  send(still) {
    const { chosen, data: { sources, places } } = this;
    const senders = sources[chosen].filter((j) => this.sends(j));
    this.$(".sent").innerHTML = senders.map((j) => {
      const { from, tip } = this.way(j, chosen);
      const [x, y] = [0, 1].map((k) => 0.55 * from[k] + 0.45 * tip[k]);
      return `${arrow(this.way(j, chosen), 2.5)}
        <g class="chip" data-from="${j}" transform="translate(${x} ${y})">
          <rect x="-17" y="-12" width="34" height="24" rx="12"/><text y="5"/></g>`;
    }).join("");
    if (still || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.all(".chip").forEach((chip) => {
      const [x, y] = places[chip.dataset.from];
      chip.animate([{ transform: `translate(${x}px, ${y}px)` }, {}],
        { duration: 400, easing: "ease-out" });
    });
  }

  // The graph: old states, what is sent, what the chosen node makes of it, or all new states.
  paint({ received, fresh, summary }) {
    const { chosen, step, states, data: { names } } = this;
    for (const chip of this.all(".chip"))
      chip.lastElementChild.textContent = plain(states[chip.dataset.from]);
    this.all(".node").forEach((node, i) => {
      const [, , middle, large] = node.children;
      const own = plain(states[i]), got = plain(received[i]);
      const at = i === chosen ? step : step === 4 ? 4 : 1; // what it shows
      node.setAttribute("class",
        `node ${at > 2 ? "new" : ""} ${this.sends(i) ? "sends" : ""}`);
      const name = names[i], next = plain(fresh[i]);
      node.setAttribute("aria-label",
        at > 2 ? say`node ${name}, new state ${next}` : say`node ${name}, state ${own}`);
      const part = (kind, text) => {
        const span = document.createElementNS(large.namespaceURI, "tspan");
        span.setAttribute("class", kind);
        span.textContent = text;
        return span;
      };
      middle.replaceChildren(...(at === 3 && step === 3
        ? [part("own", own), " + ", part("got", plain(received[i]))]
        : at === 2 ? [part("got", `c = ${got}`)] : []));
      large.textContent = at > 2 ? plain(fresh[i]) : own;
      const three = middle.childNodes.length > 0;
      const below = at === 2; // the state first, then what is received
      middle.setAttribute("y", below ? 21 : 3);
      middle.style.fontSize = `${Math.min(14, (below ? 104 : 120) / middle.textContent.length)}px`;
      large.setAttribute("y", !three ? 9 : below ? 5 : 22);
    });
    this.$("svg").classList.toggle("read", step === 4);
    const number = plain(summary);
    this.$(".summary text").textContent = step === 4 ? say`readout ${number}` : "";
  }

  // The table of all nodes, as far as this step; a number that changes lights up for a moment.
  tabulate({ received, fresh }, lights) {
    const { chosen, step, states } = this;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.all("tbody tr").forEach((row, i) => {
      row.className = `${i === chosen ? "chosen" : ""} ${this.sends(i) ? "sends" : ""}`;
      const slider = row.querySelector("input");
      slider.value = states[i];
      const own = plain(states[i]), next = plain(fresh[i]);
      slider.setAttribute("aria-valuetext", step < 3 ? own : say`${own}; new state ${next}`);
      [states[i], received[i], fresh[i]].map(plain).forEach((text, k) => {
        const cell = row.cells[k + 2], old = cell.textContent;
        cell.textContent = text;
        if (k && lights && !calm && old !== text)
          cell.animate([{ background: "color-mix(in srgb, var(--now) 30%, transparent)" }, {}],
            { duration: 400 });
      });
    });
    for (const row of this.all("tr"))
      [...row.cells].slice(-2).forEach((cell, k) => {
        cell.classList.toggle("later", step < k + 2);
      });
  }

  // The arithmetic of the chosen node, and of the whole graph.
  write({ received, fresh, summary }) {
    const { chosen, step, states, aggr, pooling, data: { names, sources } } = this;
    const symbol = (letter) => [letter, make("sub", {}, names[chosen])];
    const sent = sources[chosen].map((j) => states[j]);
    const got = make("span", { class: "got" }, plain(received[chosen]));
    const long = sent.length > 1 || (sent.length && aggr !== "sum");
    const equation = [symbol("c"), " = ", long ? `${written(sent, aggr)} = ` : "", got];
    const lines = [
      sent.length ? equation.flat() : [say`${equation}, no neighbours`],
      [...symbol("h′"), " = ", ...symbol("h"), " + ", ...symbol("c"), " = ",
        make("span", { class: "own" }, plain(states[chosen])), " + ",
        make("span", { class: "got" }, plain(received[chosen])), " = ",
        make("b", {}, plain(fresh[chosen]))],
      [fresh.length > 1 || pooling !== "sum" ? `${written(fresh, pooling)} = ` : "",
        make("b", {}, plain(summary))],
    ];
    this.all(".sum").forEach((line, k) => {
      line.replaceChildren(...(step > k + 1 ? lines[k] : []));
      line.parentElement.classList.toggle("now", step === k + 2);
    });
  }

  words({ received, fresh, summary }) {
    const { chosen, step, states, aggr, pooling, data: { names, sources } } = this;
    const node = names[chosen], near = sources[chosen], { length } = near;
    const [own, got, now] = [states, received, fresh].map((all) => plain(all[chosen]));
    const nodes = listed(near.map((j) => names[j])), sent = listed(near.map((j) => plain(states[j])));
    const way = NAMED[step === 4 ? pooling : aggr];
    if (step === 1)
      return !length ? say`Node ${node} has the state ${own} and no neighbours.`
        : length === 1
          ? say`Node ${node} has the state ${own}. It will receive the state of its only neighbour, node ${nodes}.`
          : say`Node ${node} has the state ${own}. It will receive the states of its neighbours ${nodes}.`;
    if (step === 2)
      return !length ? say`Node ${node} has no neighbours, so it receives 0.`
        : length === 1 ? say`Node ${node} receives the state ${got} of its only neighbour, node ${nodes}.`
          : say`Node ${node} receives the states ${sent} of its neighbours ${nodes}; their ${way} is ${got}.`;
    const equation = `${own}\u00a0+\u00a0${got}\u00a0=\u00a0${now}`;
    if (step === 3)
      return !length
        ? say`Node ${node} has no neighbours and receives 0, so its new state is its old one, ${own}.`
        : say`Node ${node} adds what it receives to its own state: ${equation}. All nodes do so at the same time, from the old states.`;
    const number = plain(summary);
    return say`The readout turns the new states of all nodes into one number for the whole graph: their ${way} is ${number}.`;
  }
}

customElements.define("gat-message-passing", MessagePassing);
