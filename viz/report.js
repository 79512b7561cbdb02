// What the report does beyond standing there: sorts its table, opens sections, and lets drawings be
// moved, zoomed and folded. The page is whole without it.
"use strict";

const make = (name, text, attributes = {}) => {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

// Tables.

const units = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/// A cell as a number ("5.21 M", "312 MiB", "+0.42"), else its text, else nothing.
const valueOf = (cell) => {
  const text = (cell.dataset.value ?? cell.textContent).trim();
  const number = /^([-+−]?[\d.]+(?:e[-+]?\d+)?)(?: (\S+))?$/.exec(text);
  if (number) return Number(number[1].replace("−", "-")) * (units[number[2]] ?? 1);
  return text === "–" || text === "" ? null : text;
};

/// Numbers before texts, what is missing last in both directions.
const compare = (a, b, sign) => {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
};

const sortable = (table) => {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = make("button", head.textContent, { type: "button", title: "sort by this column" });
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" };
      const order = next[head.getAttribute("aria-sort")];
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      const rows = [...original];
      if (order !== "none") {
        const sign = order === "ascending" ? 1 : -1;
        rows.sort((a, b) => compare(valueOf(a.cells[column]), valueOf(b.cells[column]), sign));
      }
      body.append(...rows);
    });
  });
};

// Drawings. The title of each part is its path ("a/b", then lines), of an edge "a → b: shape".

const pathOf = (part) => part.querySelector("title").textContent.split("\n")[0];
const isBelow = (path, group) => path.startsWith(group + "/");

class Drawing {
  constructor(figure) {
    this.svg = figure.querySelector("svg");
    const box = this.svg.viewBox.baseVal;
    this.home = [box.x, box.y, box.width, box.height];
    this.view = [...this.home];
    this.shut = new Set();
    this.clusters = [...this.svg.querySelectorAll("g.cluster")];
    this.nodes = [...this.svg.querySelectorAll("g.node")].map((part) => [part, pathOf(part)]);
    const labels = [...this.svg.querySelectorAll("text.shape")];
    this.edges = [...this.svg.querySelectorAll("g.edge")].map((part) => {
      const [from, rest] = pathOf(part).split(" → ");
      const [to, shape] = rest.split(": ");
      return { parts: shape === undefined ? [part] : [part, labels.shift()], from, to };
    });
    figure.classList.add("live");
    figure.prepend(this.tools());
    this.clusters.forEach((cluster) => this.foldable(cluster));
    this.followPointers();
  }

  tools() {
    const bar = make("div", "", { class: "tools" });
    const add = (text, action, title) => {
      const button = make("button", text, { type: "button", class: "tool", title });
      button.addEventListener("click", action);
      bar.append(button);
    };
    add("+", () => this.zoom(0.8), "zoom in");
    add("−", () => this.zoom(1.25), "zoom out");
    add("fit", () => this.show([...this.home]), "show all of it");
    if (this.clusters.length > 0) {
      add("fold all", () => this.fold(this.outermost()), "show groups as one box each");
      add("unfold all", () => this.fold([]), "show every node");
    }
    return bar;
  }

  /// Paths of the groups that no other holds; within the one that holds all others, if there is one.
  outermost() {
    let paths = [...new Set(this.clusters.map(pathOf))];
    while (true) {
      const outer = paths.filter((path) => !paths.some((group) => isBelow(path, group)));
      if (outer.length > 1 || outer.length === paths.length) return outer;
      paths = paths.filter((path) => !outer.includes(path));
    }
  }

  show(view) {
    this.view = view;
    this.svg.setAttribute("viewBox", view.join(" "));
  }

  /// By a factor, about a point of the drawing (its middle).
  zoom(factor, x = this.view[0] + this.view[2] / 2, y = this.view[1] + this.view[3] / 2) {
    const width = Math.min(Math.max(this.view[2] * factor, this.home[2] / 40), this.home[2] * 2);
    const by = width / this.view[2];
    this.show([x - (x - this.view[0]) * by, y - (y - this.view[1]) * by, width, this.view[3] * by]);
  }

  /// Of a pointer, in the drawing's units.
  place(event) {
    const point = new DOMPoint(event.clientX, event.clientY);
    return point.matrixTransform(this.svg.getScreenCTM().inverse());
  }

  followPointers() {
    const held = new Map();
    this.svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { x, y } = this.place(event);
      this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, x, y);
    }, { passive: false });
    this.svg.addEventListener("pointerdown", (event) => {
      held.set(event.pointerId, this.place(event));
      this.moved = false;
    });
    this.svg.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (before === undefined) return;
      const now = this.place(event);
      if (held.size === 2) {
        const other = [...held].find(([id]) => id !== event.pointerId)[1];
        const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
        this.zoom(apart(before) / Math.max(apart(now), 1), other.x, other.y);
      } else {
        const [x, y, width, height] = this.view;
        this.show([x + before.x - now.x, y + before.y - now.y, width, height]);
      }
      this.moved ||= Math.hypot(before.x - now.x, before.y - now.y) > this.view[2] / 400;
      held.set(event.pointerId, held.size === 2 ? this.place(event) : before);
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      this.svg.addEventListener(end, (event) => held.delete(event.pointerId));
    }
  }

  foldable(cluster) {
    const path = pathOf(cluster);
    const toggle = () => {
      const next = new Set(this.shut);
      if (!next.delete(path)) next.add(path);
      this.fold(next);
    };
    cluster.setAttribute("tabindex", "0");
    cluster.setAttribute("role", "button");
    cluster.setAttribute("aria-expanded", "true");
    cluster.addEventListener("click", () => this.moved || toggle());
    cluster.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle();
    });
  }

  /// Shows these groups as boxes: what lies in them is hidden, they cover the ends of edges.
  fold(paths) {
    this.shut = new Set(paths);
    const hides = (path) => [...this.shut].some((group) => isBelow(path, group));
    const set = (part, hidden) => part.classList.toggle("hidden", hidden);
    for (const [part, path] of this.nodes) set(part, hides(path));
    for (const { parts, from, to } of this.edges) {
      const inside = [...this.shut].some((group) => isBelow(from, group) && isBelow(to, group));
      for (const part of parts) set(part, inside);
    }
    const first = this.svg.querySelector("g.edge, g.node");
    for (const cluster of this.clusters) {
      const path = pathOf(cluster);
      const shut = this.shut.has(path);
      cluster.classList.toggle("shut", shut);
      cluster.setAttribute("aria-expanded", String(!shut));
      set(cluster, hides(path));
      if (shut) this.svg.append(cluster);
      else this.svg.insertBefore(cluster, first);
    }
  }
}

// Sections.

/// Opens what an address points at, and what that lies in.
const reveal = () => {
  let target = document.getElementById(location.hash.slice(1));
  if (target === null) return;
  for (let at = target; at !== null; at = at.parentElement) {
    if (at.tagName === "DETAILS") at.open = true;
  }
  target.scrollIntoView();
};

for (const table of document.querySelectorAll("table.results")) sortable(table);

const variants = [...document.querySelectorAll("details.variant")];
for (const bar of document.querySelectorAll(".all")) {
  for (const open of [true, false]) {
    const button = make("button", open ? "open all" : "close all", { type: "button", class: "tool" });
    button.addEventListener("click", () => variants.forEach((one) => { one.open = open; }));
    bar.append(button, " ");
  }
}

// A drawing comes to life when it is first seen: a page may hold many.
const awaken = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    awaken.unobserve(entry.target);
    new Drawing(entry.target);
  }
});
for (const figure of document.querySelectorAll(".drawing")) awaken.observe(figure);

addEventListener("hashchange", reveal);
reveal();
