// What scrolls sideways inside the page (a wide formula, table or figure on a phone) fades where it
// goes on, and takes focus, so that the arrow keys scroll it. For code the theme does the latter.
(() => {
  const wide =
    "mjx-container[display], .output.text_html, .pst-scrollable-table-container, .highlight pre";
  const mark = () => {
    const all = [...document.querySelectorAll(`article :is(${wide})`)];
    const scrolls = all.map((element) => element.scrollWidth > element.clientWidth);
    all.forEach((element, k) => {
      element.classList.toggle("gat-scrolls", scrolls[k]);
      if (element.matches("pre")) return;
      if (scrolls[k]) {
        element.tabIndex = 0;
      } else {
        element.removeAttribute("tabindex");
      }
    });
  };
  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    join();
    mark();
    addEventListener("resize", mark);
    addEventListener("toggle", mark, true); // what was folded has a width now
  });

  // No line starts with the comma or ends with the bracket that a formula touches.
  const join = () => {
    for (const formula of document.querySelectorAll("article span.math")) {
      const before = /[([“‘]+$/.exec(neighbour(formula.previousSibling))?.[0] ?? "";
      const after = /^[,.;:)\]?!’”…]+/.exec(neighbour(formula.nextSibling))?.[0] ?? "";
      if (!before && !after) continue;
      const whole = document.createElement("span");
      whole.style.whiteSpace = "nowrap";
      if (before) formula.previousSibling.splitText(formula.previousSibling.length - before.length);
      if (after) formula.nextSibling.splitText(after.length);
      const parts = [before && formula.previousSibling, formula, after && formula.nextSibling];
      formula.before(whole);
      whole.append(...parts.filter(Boolean));
    }
  };
  const neighbour = (node) => (node?.nodeType === Node.TEXT_NODE ? node.data : "");
})();

// A number stays on the line of its percent sign, and of its spread.
addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector("article");
  if (!article) return;
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (!/[%±]/.test(data) || parentElement.closest("pre, code, script, style, svg, .math")) continue;
    texts.currentNode.data = data
      .replace(/(\d) (?=[%±])/g, "$1\u00a0")
      .replace(/± (?=\d)/g, "±\u00a0");
  }
});

// What is folded stands below what it shows, also for the Tab key and for what reads aloud.
addEventListener("DOMContentLoaded", () => {
  for (const folded of document.querySelectorAll("div.cell > details.above-input")) {
    folded.parentElement.append(folded);
    folded.querySelector("summary").removeAttribute("aria-label"); // its word is its name
  }
  // Two with nothing between them share a line.
  for (const folded of document.querySelectorAll("div.cell > details.above-input:only-child")) {
    const cell = folded.parentElement;
    let before = cell.previousElementSibling;
    if (before?.matches("div.cell") && before.querySelector(":scope > details.above-input")) {
      const row = document.createElement("div");
      row.className = "gat-row";
      before.before(row);
      row.append(before);
      before = row;
    }
    if (before?.matches(".gat-row")) before.append(cell);
  }
  // The line below "Solution to Exercise" starts at its link's first word, not at the blank.
  for (const link of document.querySelectorAll(".solution > .admonition-title > a")) {
    const first = link.firstChild;
    if (!first?.data?.startsWith(" ")) continue;
    link.before(" ");
    first.data = first.data.trimStart();
  }
});

// Further experiments are folded, each below its heading; a link to one opens it, and so does a
// printer.
addEventListener("DOMContentLoaded", () => {
  const sections = [...document.querySelectorAll("section#further-experiments > section")];
  for (const section of sections) {
    const folded = document.createElement("details");
    const summary = document.createElement("summary");
    const [heading, ...rest] = section.children;
    folded.className = "gat-further";
    summary.append(heading);
    folded.append(summary, ...rest);
    section.append(folded);
  }
  const all = [...document.querySelectorAll("details.gat-further")];
  const follow = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const section = target && sections.find((one) => one.contains(target));
    if (section) {
      section.querySelector("details").open = true;
      target.scrollIntoView();
    }
  };
  follow();
  addEventListener("hashchange", follow);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all.filter((folded) => !folded.open);
    for (const folded of closed) folded.open = true;
  });
  addEventListener("afterprint", () => {
    for (const folded of closed) folded.open = false;
  });
});

// Each command of a shell is a box of its own, so that its second line can be indented. It breaks
// between words alone, and not in an option, behind a hyphen.
addEventListener("DOMContentLoaded", () => {
  const span = (name) => {
    const element = document.createElement("span");
    element.className = name;
    return element;
  };
  for (const pre of document.querySelectorAll(":is(.highlight-powershell, .highlight-sh) pre")) {
    const nodes = [...pre.childNodes];
    let line, word;
    pre.replaceChildren();
    for (const node of nodes) {
      for (const piece of node.nodeName === "#text" ? node.data.split(/(\n| +)/) : [node]) {
        if (!piece) continue;
        if (piece === "\n") {
          pre.append(piece);
          line = word = undefined;
          continue;
        }
        if (!line) pre.append((line = span("gat-line")));
        if (/ /.test(piece.textContent ?? piece)) {
          line.append(piece); // a blank, or a comment
          word = undefined;
        } else {
          if (!word) line.append((word = span("gat-word")));
          word.append(piece);
        }
      }
    }
  }
});

// The link to a page's notebook saves it; without this, a browser shows its JSON. (From a file,
// some browsers show it all the same: they take each file for another site.)
addEventListener("DOMContentLoaded", () => {
  for (const link of document.querySelectorAll("a.btn-download-source-button")) {
    link.download = "";
  }
});

// The search fetches each page that it finds, to show an excerpt. A page that was opened from a
// file may not fetch another, and says so in the console, so there are titles alone.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// On paper the solutions stand at the end, as in a book.
(() => {
  let moved = [];
  addEventListener("beforeprint", () => {
    const article = document.querySelector("article.bd-article > section");
    const solutions = [...document.querySelectorAll(".bd-article div.solution")];
    if (!article || moved.length || !solutions.length) return;
    const end = document.createElement("section");
    end.className = "gat-solutions";
    const title = document.createElement("h2");
    title.textContent = "Solutions";
    end.append(title);
    moved = solutions.map((solution) => {
      const place = document.createComment("solution");
      solution.replaceWith(place);
      end.append(solution);
      return [place, solution];
    });
    article.append(end);
  });
  addEventListener("afterprint", () => {
    const end = document.querySelector(".gat-solutions");
    for (const [place, solution] of moved) place.replaceWith(solution);
    moved = [];
    end?.remove();
  });
})();

// The other language opens at the section that is being read; sections have the same ids in both.
addEventListener("DOMContentLoaded", () => {
  for (const link of document.querySelectorAll(".gat-language a")) {
    link.addEventListener("click", () => {
      link.hash = location.hash;
    });
  }
});
