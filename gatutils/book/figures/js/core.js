// What all interactive figures share: the maths, elements, keyboard, and their base class.
//
// elements.py puts this file in front of those of a figure and wraps them in one function. The data
// is in an attribute; the content of an element is its still form, one or more tables. The live form
// is a shadow tree laid over it. Without JavaScript the tables are there, the page's style does not
// reach in (but fonts and the roles' colours do), and ids are the element's own.

// ---- The maths: gatutils.attention.attend for one query ------------------------------------

// The best score is taken off first, so nothing overflows. It also gives the two limits their
// sense: at τ = 0 the others are exp(-∞) = 0, at τ = ∞ all are exp(0) = 1.
function softmax(scores, tau) {
  const best = Math.max(...scores);
  const powers = scores.map((score) => (score === best ? 1 : Math.exp((score - best) / tau)));
  const all = sum(powers);
  return powers.map((power) => power / all);
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

// A slider's place, 0 to 40, as a temperature: tenths of a power of ten between the two limits.
const temperature = (place) =>
  place === 0 ? 0 : place === 40 ? Infinity : 10 ** ((place - 20) / 10);

// ---- What the figures share ------------------------------------------------------------------

const make = (tag, attributes = {}, ...content) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content); // text stays text: names are never read as HTML
  return element;
};

// The tag of all that a reader reads or hears. When the book is built in another language,
// book/translation.py replaces what stands between its backticks: a whole message, never a part of a
// sentence, with its placeholders. Its value is the text itself, or a fragment if a placeholder
// stands for an element or for a list that has one.
const say = (parts, ...values) => {
  const content = parts.flatMap((part, k) => [part, values[k] ?? []]).flat(Infinity);
  if (!content.some((item) => item instanceof Node)) return content.join("");
  const fragment = new DocumentFragment();
  fragment.append(...content);
  return fragment;
};

const both = (one, other) => say`${one} and ${other}`;
const chained = (items) => (items.length ? items.reduce(both) : ""); // "a and b and c"

// "a, b and c"; an item may be text, an element or a list of these.
const listed = (items) => items.length < 2 ? items[0] ?? ""
  : both(items.slice(0, -1).flatMap((item, k) => (k ? [", ", item] : [item])), items.at(-1));

// "cat 0.81, dog 0.12 …": the first four that weigh 0.05 or more, and the first in any case.
function inWords(names, weights) {
  const order = weights.map((_, j) => j).sort((a, b) => weights[b] - weights[a]);
  const shown = order.filter((j, place) => place === 0 || (place < 4 && weights[j] >= 0.05));
  const rest = 1 - sum(shown.map((j) => weights[j]));
  const words = shown.map((j) => `${names[j]} ${weights[j].toFixed(2)}`).join(", ");
  return rest >= 0.005 ? `${words} …` : words;
}

// Arrow keys, Home and End move the focus along a list that is one stop for Tab.
function walk(event, stops) {
  const last = stops.length - 1;
  const from = stops.indexOf(event.target);
  const back = from - 1, on = from + 1;
  const to = { ArrowUp: back, ArrowLeft: back, ArrowDown: on, ArrowRight: on, Home: 0, End: last };
  if (from < 0 || !(event.key in to)) return;
  event.preventDefault(); // the page does not scroll meanwhile
  stops[Math.min(Math.max(to[event.key], 0), last)].focus();
}

const choose = (stops, chosen) =>
  stops.forEach((stop, i) => {
    stop.setAttribute("aria-pressed", i === chosen);
    stop.setAttribute("tabindex", i === chosen ? 0 : -1);
  });

const STYLE = `
  :host {
    --query: var(--gat-query, #9c5a0c); --key: var(--gat-key, #2a50d7);
    --value: var(--gat-value, #137a45); --weight: var(--gat-weight, #840b7c);
    --masked: var(--gat-masked, #5c5c5c);
    --muted: color-mix(in srgb, currentColor 75%, transparent);
    --hair: color-mix(in srgb, currentColor 18%, transparent);
    container-type: inline-size; display: block; font-size: 0.95rem; line-height: 1.5;
    font-variant-numeric: tabular-nums; text-align: start;
    -webkit-print-color-adjust: exact; print-color-adjust: exact;
  }
  * { box-sizing: border-box; }
  button, input, select { color: inherit; font: inherit; margin: 0; }
  :focus-visible { outline: 3px solid var(--pst-color-primary, currentColor); outline-offset: 2px; }
  .query { color: var(--query); } .key { color: var(--key); }
  .value { color: var(--value); } .weight { color: var(--weight); }
  small { color: var(--muted); font-size: 0.8em; font-weight: 400; }
  .says { margin: 0.75rem 0 0; min-height: 1.5em; text-align: center; }`;

class Figure extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return; // moved within the page, not new
    this.data = JSON.parse(this.dataset.figure);
    this.attachShadow({ mode: "open" }).innerHTML =
      `<style>${STYLE}${this.constructor.style}</style>${this.constructor.page}`;
    this.start();
  }

  $(selector) {
    return this.shadowRoot.querySelector(selector);
  }

  all(selector) {
    return [...this.shadowRoot.querySelectorAll(selector)];
  }
}
