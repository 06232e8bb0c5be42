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
