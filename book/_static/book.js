// What scrolls sideways inside the page (a wide formula, table or figure on a phone) takes focus,
// so that the arrow keys scroll it. The theme does the same for code.
(() => {
  const wide = "mjx-container[display], .output.text_html, .pst-scrollable-table-container";
  const mark = () => {
    for (const element of document.querySelectorAll(wide)) {
      if (element.scrollWidth > element.clientWidth) {
        element.tabIndex = 0;
      } else {
        element.removeAttribute("tabindex");
      }
    }
  };
  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    mark();
    addEventListener("resize", mark);
  });
})();

// What is folded stands below what it shows, also for the Tab key and for what reads aloud.
addEventListener("DOMContentLoaded", () => {
  for (const folded of document.querySelectorAll("div.cell > details.above-input")) {
    folded.parentElement.append(folded);
    folded.querySelector("summary").removeAttribute("aria-label"); // its word is its name
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
