// How graph attention looks: its style and its parts, before they are filled.

const ATTENTION_STYLE = `
  :host { --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas));
    --now: var(--pst-color-primary, currentColor); margin: auto; max-width: 44rem;
    --hatch: repeating-linear-gradient(135deg,
      color-mix(in srgb, var(--masked) 70%, transparent) 0 1px, transparent 1px 6px); }
  slot { display: none; }
  @media print { slot { display: contents; } .live { display: none; } }
  button, select { background: transparent; border: 1px solid var(--muted);
    border-radius: 0.3rem; min-height: 2.6rem; min-width: 2.5rem;
    padding: 0 0.6rem; }
  button, select, summary, [type=radio], .node { cursor: pointer; }
  sub { font-size: max(0.8em, 12px); line-height: 0; }
  .symbol, .label { white-space: nowrap; }
  [aria-disabled=true] { border-color: var(--hair); color: var(--masked); }
  .stepper { align-items: center; display: flex; gap: 0.4rem; }
  .steps { display: flex; flex: 1; }
  .steps label { flex: 1; min-height: 2.6rem; padding: 0.4rem 0 0.6rem; position: relative;
    text-align: center; }
  [type=radio] { appearance: none; border-bottom: 4px solid var(--hair); inset: 0;
    position: absolute; }
  :checked, :checked ~ * { border-color: var(--now); color: var(--now); }
  .says { margin: 0.75rem 0; min-height: 3em; text-wrap: balance; }
  .middle { align-items: start; display: grid; gap: 1rem; grid-template-columns: 1fr 1.2fr; }
  svg { display: block; fill: currentColor; overflow: visible; stroke: currentColor; width: 100%; }
  path { fill: none; }
  polygon, text { stroke: none; }
  .graph svg { max-height: 19rem; }
  .graph p { display: flex; font-weight: 600; gap: 1.5rem; justify-content: center; margin: 0.25rem 0 0; }
  .graph p span { align-items: center; display: flex; gap: 0.4em; }
  .graph p span::before { border: 3px solid; border-radius: 50%; content: ""; height: 1em; width: 1em; }
  .edges { opacity: 0.3; }
  .own { color: var(--weight); }
  .asked path { stroke-dasharray: 4 4; }
  .node circle { fill: color-mix(in srgb, var(--weight) calc(var(--w) * 36%), var(--ground)); }
  .new circle { fill: color-mix(in srgb, var(--value) 18%, var(--ground)); }
  .node.masked circle { color: var(--masked); fill: url(#hatch); stroke: var(--masked); }
  .pad { fill: var(--ground); stroke: none; }
  .node:not(.masked) .pad { display: none; }
  .hatch { opacity: 0.7; stroke: var(--masked); stroke-width: 1.25; }
  .node.other circle { stroke: var(--key); stroke-width: 3; }
  .node[aria-pressed=true] circle { stroke: var(--query); stroke-width: 3; }
  text { font-size: 11.5px; text-anchor: middle; }
  .word { font-weight: 700; }
  .node.masked .number, s { text-decoration: line-through; }
  table { border-collapse: collapse; }
  caption { color: var(--muted); padding-bottom: 0.3rem; }
  .pairs { table-layout: fixed; width: 100%; }
  .pairs td, .pairs th { padding: 0; }
  .pairs thead td, .pairs tr > :first-child { width: 2.6rem; }
  .pairs thead th { height: 1.6rem; }
  .pairs td { border: 1px solid var(--hair); }
  .pairs thead td, .pairs th { border: 0; }
  .pairs button { border: 0; border-radius: 0; display: block; height: 3.1rem; line-height: 1.2; margin: 0;
    min-height: 0; padding: 0; position: relative; width: 100%; }
  .row { font-weight: 600; }
  .row[aria-pressed=true] { box-shadow: inset 4px 0 var(--query); }
  .entry { background: color-mix(in srgb, currentColor calc(var(--w) * 14%), transparent); }
  .entry.known { background: color-mix(in srgb, var(--weight) calc(4% + var(--w) * 36%), transparent); }
  .entry::before { background: var(--hatch); content: ""; inset: 0; opacity: 0; position: absolute; }
  .entry.masked { background: transparent; color: var(--masked); }
  .entry.masked::before { opacity: 1; }
  .entry > span { display: table; margin: auto; padding: 0 0.2em; position: relative; }
  .entry.masked > span { background: var(--ground); }
  .label { font-size: 0.8rem; line-height: 1.5; }
  .entry .label { color: color-mix(in srgb, currentColor 80%, transparent); }
  .entry.masked .label { color: inherit; }
  .entry .number { font-weight: 600; min-height: 1.2em; }
  tr.chosen { outline: 3px solid var(--query); outline-offset: -2px; }
  .entry[aria-pressed=true] { box-shadow: inset 0 0 0 3px var(--key); }
  .entry:focus-visible, .row:focus-visible { outline-offset: -3px; z-index: 1; }
  .stage { border-top: 1px solid var(--hair); margin-top: 1rem; min-height: 15.5rem; padding-top: 1rem; display: grid; align-items: center; }
  .stage > * { display: none; }
  :is([data-step="2"], [data-step="3"], [data-step="4"]) .score-of,
  [data-step="5"] .combine { display: grid; }
  .cell { background: color-mix(in srgb, var(--role, currentColor) calc(5% + var(--w) * 30%), transparent);
    border: 1px solid var(--hair); color: var(--pst-color-text-base, inherit); display: table-cell;
    min-width: 2.9rem; padding: 0.45rem 0.2rem; text-align: center; }
  .cell.query { --role: var(--query); } .cell.key { --role: var(--key); }
  .stage .project { align-items: center; flex-wrap: wrap; gap: 0.5rem 0.75rem; justify-content: center; }
  [data-step="1"] .stage .project { display: flex; }
  .project table { margin: 0; }
  .project table:last-child .cell { min-width: 3.1rem; }
  .project th { font-weight: 600; white-space: nowrap; }
  .project .given { color: inherit; }
  .score-of { align-items: center; gap: 0.75rem 1rem; grid-template-columns: max-content 9rem minmax(0, 1fr); }
  .strips { font-size: 0.9rem; margin: 0; }
  .strips th { font-weight: 600; padding: 0 0.5rem 0 0; text-align: end; white-space: nowrap; }
  .strips [scope=col] { padding: 0 0 0.3rem; text-align: center; }
  .strips tr:nth-child(n + 3) td { border-top: 4px solid transparent; background-clip: padding-box; }
  .total { margin: 0.4rem 0 0; text-align: end; }
  .total::after { content: " →"; }
  .bending p, .total, .heads { font-size: 0.9rem; }
  .heads { display: flex; justify-content: space-between; margin: 0; }
  [data-known="false"] .heads :not(:first-child) { visibility: hidden; }
  .bending p { margin: 0; text-align: center; }
  .axes { opacity: 0.45; }
  .line { stroke-width: 2; }
  .guide { opacity: 0.7; stroke-dasharray: 3 3; }
  .points circle { fill: var(--masked); stroke: none; }
  .points .now { fill: var(--key); }
  .keys { display: grid; gap: 2px; }
  .keys button { align-items: center; border-color: transparent; display: grid; font-size: 0.9rem; gap: 0.5rem;
    grid-template-columns: 6em minmax(2rem, 1fr) 2.6em; padding: 0 0.3rem; text-align: start; }
  .keys [aria-pressed=true] { border-color: var(--key); box-shadow: inset 0 0 0 2px var(--key); }
  .keys .masked { color: var(--masked); }
  .keys .score { display: flex; justify-content: space-between; }
  .track { border-inline-start: 1px solid var(--muted); display: block; height: 1.2rem; }
  .track i { background: var(--weight); display: block; height: 100%; width: calc(var(--w) * 100%); }
  .masked .track { background: var(--hatch); }
  .keys .weight { font-weight: 600; text-align: end; white-space: nowrap; }
  .keys .masked .weight { color: inherit; }
  .combine { align-items: center; gap: 1rem 2rem; grid-template-columns: 14rem auto; justify-content: center; }
  .plane text { font-size: 13px; }
  .plane .up { text-anchor: end; }
  .plane .grid { opacity: 0.12; }
  .plane .old { color: var(--masked); stroke-dasharray: 5 4; }
  .plane .old polygon, .plane .sum polygon { stroke: none; }
  .plane .term { color: var(--value); fill: var(--value); stroke: var(--value); }
  .equation { display: grid; gap: 0.35rem 0.5rem; grid-template-columns: max-content max-content 1fr;
    white-space: nowrap; }
  .equation .line { align-items: center; display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; }
  .equation .left { text-align: end; }
  .equation small { margin-inline-start: 0.75em; font-size: max(0.8em, 12px); }
  .mark { border-top: 3px solid; width: 1.6rem; }
  .old .mark { border-top: 2px dashed var(--masked); }
  .term .mark { border-color: var(--value); }
  .term:not(.chosen) .mark { border-top-width: 2px; }
  .change { align-items: center; display: grid; gap: 0.25rem 0.6rem; margin-top: 0.75rem; white-space: nowrap;
    grid-template-columns: auto auto minmax(0, 1fr) 2.4em auto minmax(0, 1fr) 2.4em auto; }
  .change p { align-items: center; display: flex; gap: 0.4rem; margin: 0; }
  select { min-width: 0; }
  [type=range] { accent-color: currentColor; height: 2.6rem; width: 100%; }
  output { text-align: end; }
  summary { padding: 0.6rem 0; }
  .trace { font-size: 0.9rem; width: 100%; }
  .trace :is(th, td) { padding: 0.25rem 0.3rem; text-align: end; white-space: nowrap; }
  .trace th:first-child { text-align: start; }
  .trace thead th { line-height: 1.3; vertical-align: baseline; }
  .trace tbody tr { border-top: 1px solid var(--hair); }
  .trace tfoot tr { border-top: 2px solid var(--muted); }
  .trace :is(th, tfoot td) { font-weight: 600; }
  .trace tr.masked { color: var(--masked); }
  .trace tr:not(.masked) > :nth-child(6) { color: var(--weight); }
  .trace .chosen { outline: 0; }
  .trace .chosen th { box-shadow: inset 3px 0 var(--query); color: var(--query); padding-inline-start: 0.5rem; }
  .trace .now { background: color-mix(in srgb, var(--now) 8%, transparent); }
  .later { visibility: hidden; }
  @media (prefers-reduced-motion: no-preference) {
    .entry::before { transition: opacity 0.3s; }
    .track i { transition: width 0.3s; }
    .points circle { transition: transform 0.3s; }
  }
  /* Beside the buttons the steps' names would touch. */
  @container (max-width: 28rem) {
    .stepper { flex-wrap: wrap; justify-content: space-between; }
    .steps { flex: 1 0 100%; order: 1; }
  }
  @container (max-width: 42rem) {
    .steps label { font-size: 0.75rem; line-height: 1.3; padding-top: 0.2rem; }
    .stepper { gap: 0.2rem; }
    .stepper button { padding: 0; }
    .steps small { display: block; font-size: 1em; }
    .says { font-size: 0.9rem; min-height: 4.5em; }
    .middle, .combine { grid-template-columns: minmax(0, 1fr); }
    .pairs tr > :first-child, .pairs thead td { width: 2.5rem; }
    :is([data-step="1"], [data-step="5"]) .pairs { display: none; }
    .project .cell { min-width: 2.2rem; }
    .project table:last-child .cell { min-width: min(3.1rem, 13cqi); }
    .project th { font-size: 0.85rem; }
    .score-of { grid-template-columns: 7.5rem minmax(0, 1fr); gap: 0.75rem 0.5rem; }
    .strip { grid-column: 1 / -1; }
    .strips { width: 100%; }
    .cell { min-width: 0; }
    .keys button { grid-template-columns: 5.6em minmax(1rem, 1fr) 2.5em; gap: 0.3rem; padding: 0 0.2rem; }
    .plane { margin: auto; max-width: 14rem; }
    .change { grid-template-columns: max-content minmax(0, 1fr) 2.6em; }
    .change p { grid-column: 1 / -1; }
    .change p button { margin-inline-start: auto; }
    .total::after { content: " ↓"; }
    .trace { font-size: 0.875rem; }
    .rest { display: none; }
  }`;

const ATTENTION_PAGE = `
  <div class="live">
    <div class="stepper">
      <button type="button" aria-label="${say`previous step`}">←</button>
      <div class="steps" role="radiogroup" aria-label="${say`step`}"></div>
      <button type="button" aria-label="${say`next step`}">→</button>
    </div>
    <p class="says" aria-live="polite"></p>
    <div class="middle">
      <div class="graph">
        <svg role="group" aria-label="${say`graph`}">
          <defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"
            patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>
          <g class="edges"></g><g class="own"></g></svg>
        <p><span class="query"></span><span class="key"></span></p>
      </div>
      <table class="pairs"><caption></caption><thead><tr></tr></thead><tbody></tbody></table>
    </div>
    <div class="stage">
      <div class="project"></div>
      <div class="score-of">
        <div class="strip"><table class="strips" aria-label="${say`products`}"><tbody></tbody></table>
          <p class="total"></p></div>
        <div class="bending"><p>LeakyReLU</p>
          <svg class="curve" viewBox="0 0 128 124" aria-hidden="true"><path class="axes"/>
            <path class="guide"/><path class="line"/><g class="points"></g></svg>
          <p class="bent"></p></div>
        <div><p class="heads"><span>${say`score`}</span><span>${say`softmax`}</span>
          <span class="weight">${say`weight`}</span></p>
          <div class="keys" role="group" aria-label="${say`keys`}"></div></div>
      </div>
      <div class="combine">
        <svg class="plane" viewBox="-26 -4 236 226" aria-hidden="true"><path class="grid"/><path class="axes"/>
          <g class="arrows"></g><text x="0" y="216"/><text x="200" y="216"/><text class="up" x="-6" y="204"/>
          <text class="up" x="-6" y="8"/></svg>
        <div class="equation"></div>
      </div>
    </div>
    <div class="change" role="group" aria-label="${say`features`}">
      <p><label for="node">${say`features of node`}</label><select id="node"></select>
        <button type="button">${say`reset`}</button></p>
      <label for="x">${say`first`}</label><input id="x" type="range" step="0.1"><output for="x"></output>
      <label for="y">${say`second`}</label><input id="y" type="range" step="0.1"><output for="y"></output>
    </div>
    <details><summary>${say`all numbers as a table`}</summary>
      <table class="trace">
        <caption>${say`what node <b class="query"></b> attends to; <span></span>`}</caption>
        <thead><tr></tr></thead><tbody></tbody>
        <tfoot><tr><th scope="row">${say`sum`}</th><td><td><td><td><td><td class="value"></tr></tfoot>
      </table></details>
  </div>
  <slot></slot>`;
