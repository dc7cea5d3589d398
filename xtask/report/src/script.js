// The theme, two files of code side by side, and listings that open when a link points to them.
// Everything else works without this script.
"use strict";
(() => {
  const root = document.documentElement;

  const theme = document.getElementById("theme");
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`); };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  label();

  // A link to a listing opens it.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  const plural = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

  // Lines of a file, copied from its listing, with a heading for screen readers.
  const excerpt = (lines, from, count, side, heading) => {
    const pre = make("pre", side);
    if (count > 0) pre.append(make("span", "unseen", heading));
    for (const line of lines.slice(from, from + count)) pre.append(line.cloneNode(true));
    return pre;
  };

  for (const panes of document.querySelectorAll("[data-panes]")) {
    const runs = JSON.parse(panes.querySelector("script").textContent);
    const [left, right] = panes.querySelectorAll("select");
    const diff = panes.querySelector(".diff");
    const status = panes.querySelector("[data-status]");
    const chosen = (select) => select.selectedOptions[0];
    const lines = (option) => [...document.getElementById(option.dataset.listing).querySelectorAll(".l")];

    // The runs of lines that are the same or differ between the left file and the right one.
    const between = (one, other, count) => {
      if (one === other) return [[1, count, count]];
      const [a, b] = [Number(one), Number(other)];
      return a < b ? runs[`${a} ${b}`] : runs[`${b} ${a}`].map(([same, x, y]) => [same, y, x]);
    };

    const show = () => {
      const [one, other] = [chosen(left), chosen(right)];
      const [ours, theirs] = [lines(one), lines(other)];
      const head = make("div", "block head");
      head.append(make("span", "", `− ${one.textContent}`), make("span", "", `+ ${other.textContent}`));
      const blocks = [head];
      let [i, j, shared] = [0, 0, 0];
      for (const [same, x, y] of between(one.value, other.value, ours.length)) {
        const block = make("div", `block ${same ? "same" : "changed"}`);
        block.append(
          excerpt(ours, i, x, "one", same ? "In both:" : `Only in ${one.textContent}:`),
          excerpt(theirs, j, y, "two", same ? "In both:" : `Only in ${other.textContent}:`));
        if (same) { block.lastChild.setAttribute("aria-hidden", "true"); shared += x; }
        blocks.push(block);
        i += x;
        j += y;
      }
      diff.replaceChildren(...blocks);
      diff.scrollTop = 0;
      status.textContent = `${plural(shared, "line")} in both, dimmed; ${ours.length - shared} only in ${one.textContent}, ${theirs.length - shared} only in ${other.textContent}.`;
    };

    const toggle = (name, className) => {
      const box = panes.querySelector(`[${name}]`);
      const apply = () => diff.classList.toggle(className, !box.checked);
      box.addEventListener("change", apply);
      apply();
    };
    toggle("data-comments", "no-comments");
    toggle("data-shared", "no-shared");
    left.addEventListener("change", show);
    right.addEventListener("change", show);
    panes.hidden = false;
    show();
  }
})();
