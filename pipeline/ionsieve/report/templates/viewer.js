"use strict";
/* A small 3D view of a crystal on a 2D canvas: atoms as shaded spheres, bonds, cell, bottlenecks and ion density.
   No library and no WebGL: it works offline, prints, follows the theme and answers to the keyboard. */
(() => {
  const COLOURS = { H: "#dcdcdc", Li: "#b66ee8", Na: "#e8b93c", K: "#8f53c9", Mg: "#5fae3d", Ca: "#7fb86a", Sr: "#5a9e6d", Ba: "#3f7f55", B: "#e6a2a2", C: "#6f6f6f", N: "#5577d8", O: "#e2533f", F: "#79c98e", Al: "#a9a3b8", Si: "#4f7fb5", P: "#e8893c", S: "#d9c92e", Cl: "#4fbf5a", Se: "#c98a2e", Br: "#a0522d", I: "#7a2d8f", Zr: "#47a3a8", Ti: "#8796a3", Hf: "#5b8fb0", Y: "#6fb8c0", La: "#6fb0d8", Sc: "#a7b3bd", Nb: "#5f97ab", Ta: "#5584a8", W: "#5a7da0", Mo: "#6f9a9c", Sn: "#7c8f96", Sb: "#9a6fb0", Ge: "#7a9a7a", Ga: "#b58f8f", In: "#a57d77", Zn: "#7d80b0", Te: "#c07a30", V: "#9a9aa5", Fe: "#cf6a3a" };
  const RADII = { H: .31, Li: 1.0, Na: 1.15, K: 1.4, Mg: .85, Ca: 1.1, Sr: 1.25, Ba: 1.4, O: .8, F: .78, S: 1.05, Cl: 1.05, Se: 1.15, Br: 1.15, I: 1.3, P: .6, Si: .6, Zr: .8, Ti: .7, Hf: .8, Nb: .75, Ta: .75, Sn: .8, Ge: .65, Y: .95, La: 1.15 };
  const BOND = { P: 2.5, Si: 2.1, Ge: 2.5, Sb: 2.7, Sn: 2.8, As: 2.5, W: 2.6, Mo: 2.5, Zr: 2.5, Hf: 2.5, Ti: 2.4, Nb: 2.4, Ta: 2.4, Al: 2.4, B: 1.7, C: 1.7, Y: 2.9, V: 2.3, H: 1.3 };
  const ANIONS = new Set(["O", "S", "Se", "F", "Cl", "Br", "I", "N", "H"]);
  const colour = (s) => COLOURS[s] ?? "#9aa0a6";
  const sprites = new Map();
  const shade = (hex, f) => { const n = parseInt(hex.slice(1), 16); return `rgb(${[16, 8, 0].map((b) => Math.max(0, Math.min(255, Math.round(((n >> b) & 255) * f + (f > 1 ? 255 * (f - 1) * .35 : 0))))).join(",")})`; };
  const sprite = (symbol) => {
    if (!sprites.has(symbol)) {
      const c = document.createElement("canvas"); c.width = c.height = 96;
      const g = c.getContext("2d"), hex = colour(symbol);
      const light = g.createRadialGradient(36, 32, 3, 48, 48, 46);
      light.addColorStop(0, shade(hex, 1.55)); light.addColorStop(.35, shade(hex, 1.05)); light.addColorStop(1, shade(hex, .58));
      g.fillStyle = light; g.beginPath(); g.arc(48, 48, 46, 0, 7); g.fill();
      sprites.set(symbol, c);
    }
    return sprites.get(symbol);
  };
  const turn = (m, axis, angle) => {
    const c = Math.cos(angle), s = Math.sin(angle);
    const r = axis === "y" ? [[c, 0, s], [0, 1, 0], [-s, 0, c]] : axis === "x" ? [[1, 0, 0], [0, c, -s], [0, s, c]] : [[c, -s, 0], [s, c, 0], [0, 0, 1]];
    return r.map((row) => [0, 1, 2].map((j) => row[0] * m[0][j] + row[1] * m[1][j] + row[2] * m[2][j]));
  };
  const START = turn(turn([[1, 0, 0], [0, 0, 1], [0, -1, 0]], "y", -.5), "x", .32);

  class Viewer {
    constructor(box) {
      this.box = box; this.canvas = box.querySelector("canvas");
      this.data = JSON.parse(box.querySelector(".structure-data").textContent);
      this.show = { cell: true, bonds: true, gates: true, density: false, repeat: 1 };
      this.rotation = START; this.zoom = 1; this.spin = false; this.pending = false;
      this.build(); this.listen();
      new ResizeObserver(() => this.resize()).observe(this.canvas);
      this.resize();
    }
    build() {
      const { lattice: L, symbols, index, positions: P } = this.data, n = this.show.repeat;
      const at = (f) => [0, 1, 2].map((k) => f[0] * L[0][k] + f[1] * L[1][k] + f[2] * L[2][k]);
      const shifts = [];
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) shifts.push(at([i, j, k]));
      const moved = (p, d) => [p[0] + d[0], p[1] + d[1], p[2] + d[2]];
      this.atoms = shifts.flatMap((d) => index.map((s, i) => ({ p: moved([P[3 * i], P[3 * i + 1], P[3 * i + 2]], d), s: symbols[s], r: (RADII[symbols[s]] ?? .8) * .62, mobile: symbols[s] === this.data.mobile })));
      this.gates = shifts.flatMap((d) => this.data.gates.map((g) => ({ p: moved(g[2], d), r: Math.max(.15, g[1]), name: g[0] })));
      const D = this.data.density;
      this.cloud = D ? shifts.flatMap((d) => D.weights.map((w, i) => ({ p: moved(at(D.points.slice(3 * i, 3 * i + 3)), d), w }))) : [];
      const c = at([n / 2, n / 2, n / 2]); this.centre = c;
      const corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]];
      const corner = corners.map((f) => at(f.map((x) => x * n)));
      this.edges = [[0, 1], [0, 2], [0, 3], [1, 4], [1, 5], [2, 4], [2, 6], [3, 5], [3, 6], [4, 7], [5, 7], [6, 7]].map(([a, b]) => [corner[a], corner[b]]);
      this.size = Math.max(...corner.map((p) => Math.hypot(p[0] - c[0], p[1] - c[1], p[2] - c[2])), 1);
      this.bonds = [];
      const cells = new Map(), key = (p) => p.map((x) => Math.floor(x / 3)).join();
      this.atoms.forEach((a, i) => { if (ANIONS.has(a.s)) { const k = key(a.p); if (!cells.has(k)) cells.set(k, []); cells.get(k).push(i); } });
      this.atoms.forEach((a, i) => {
        const reach = BOND[a.s];
        if (!reach || a.mobile) return;
        const q = a.p.map((x) => Math.floor(x / 3));
        for (let u = -1; u < 2; u++) for (let v = -1; v < 2; v++) for (let w = -1; w < 2; w++)
          for (const j of cells.get([q[0] + u, q[1] + v, q[2] + w].join()) ?? []) {
            const b = this.atoms[j];
            if (j !== i && Math.hypot(a.p[0] - b.p[0], a.p[1] - b.p[1], a.p[2] - b.p[2]) < reach) this.bonds.push([i, j]);
          }
      });
    }
    listen() {
      const { canvas, box } = this;
      let last = null;
      canvas.addEventListener("pointerdown", (e) => { last = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
      canvas.addEventListener("pointermove", (e) => {
        if (!last) return;
        this.rotation = turn(turn(this.rotation, "y", (e.clientX - last[0]) * .008), "x", -(e.clientY - last[1]) * .008);
        last = [e.clientX, e.clientY]; this.redraw();
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });
      canvas.addEventListener("wheel", (e) => { if (!e.ctrlKey && document.activeElement !== canvas) return; e.preventDefault(); this.scale(e.deltaY < 0 ? 1.1 : 1 / 1.1); }, { passive: false });
      canvas.addEventListener("keydown", (e) => {
        const step = { ArrowLeft: ["y", -.12], ArrowRight: ["y", .12], ArrowUp: ["x", .12], ArrowDown: ["x", -.12] }[e.key];
        if (step) this.rotation = turn(this.rotation, ...step);
        else if (e.key === "+" || e.key === "=") this.scale(1.15);
        else if (e.key === "-") this.scale(1 / 1.15);
        else return;
        e.preventDefault(); this.redraw();
      });
      box.querySelectorAll("[data-view]").forEach((control) => {
        const name = control.dataset.view;
        if (control.tagName === "BUTTON") control.addEventListener("click", () => {
          if (name === "spin") { this.spin = !this.spin; control.setAttribute("aria-pressed", String(this.spin)); if (this.spin) this.tick(); }
          else { this.rotation = START; this.zoom = 1; this.redraw(); }
        });
        else control.addEventListener("input", () => {
          this.show[name] = control.type === "checkbox" ? control.checked : Number(control.value);
          if (name === "repeat") this.build();
          this.redraw();
        });
      });
      document.addEventListener("themechange", () => this.redraw());
      document.addEventListener("printing", () => this.draw());
    }
    scale(f) { this.zoom = Math.min(6, Math.max(.4, this.zoom * f)); this.redraw(); }
    tick() { if (!this.spin || !this.canvas.isConnected || !this.canvas.offsetParent) { this.spin = false; return; } this.rotation = turn(this.rotation, "y", .012); this.draw(); requestAnimationFrame(() => this.tick()); }
    resize() {
      const ratio = Math.min(2, devicePixelRatio || 1), { clientWidth: w, clientHeight: h } = this.canvas;
      if (!w || !h) return;
      this.canvas.width = Math.round(w * ratio); this.canvas.height = Math.round(h * ratio); this.draw();
    }
    redraw() { if (!this.pending) { this.pending = true; requestAnimationFrame(() => { this.pending = false; this.draw(); }); } }
    draw() {
      const { canvas, rotation: R, centre } = this, g = canvas.getContext("2d"), style = getComputedStyle(canvas);
      const W = canvas.width, H = canvas.height, scale = this.zoom * .46 * Math.min(W, H) / this.size * 1.12, far = 4.2 * this.size;
      const look = (p) => {
        const d = [p[0] - centre[0], p[1] - centre[1], p[2] - centre[2]];
        const q = R.map((row) => row[0] * d[0] + row[1] * d[1] + row[2] * d[2]);
        const f = far / (far - q[2]);
        return [W / 2 + q[0] * scale * f, H / 2 - q[1] * scale * f, q[2], scale * f];
      };
      g.clearRect(0, 0, W, H);
      const items = [];
      if (this.show.cell) for (const [a, b] of this.edges) { const p = look(a), q = look(b); items.push([Math.min(p[2], q[2]) - .01, () => { g.strokeStyle = style.color; g.globalAlpha = .38; g.lineWidth = Math.max(1, W / 700); g.beginPath(); g.moveTo(p[0], p[1]); g.lineTo(q[0], q[1]); g.stroke(); }]); }
      const seen = this.atoms.map((a) => look(a.p));
      this.atoms.forEach((a, i) => { const p = seen[i], r = a.r * p[3]; items.push([p[2], () => { g.globalAlpha = this.show.density && a.mobile ? .35 : Math.max(.55, .8 + .3 * p[2] / this.size); g.drawImage(sprite(a.s), p[0] - r, p[1] - r, 2 * r, 2 * r); }]); });
      if (this.show.bonds) for (const [i, j] of this.bonds) {
        const p = seen[i], q = seen[j];
        items.push([(p[2] + q[2]) / 2 - .3, () => { g.globalAlpha = .75; g.lineWidth = .16 * p[3]; g.lineCap = "round"; const m = [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2]; g.strokeStyle = colour(this.atoms[i].s); g.beginPath(); g.moveTo(p[0], p[1]); g.lineTo(...m); g.stroke(); g.strokeStyle = colour(this.atoms[j].s); g.beginPath(); g.moveTo(...m); g.lineTo(q[0], q[1]); g.stroke(); }]);
      }
      if (this.show.gates) for (const gate of this.gates) { const p = look(gate.p), r = gate.r * p[3]; items.push([p[2] + .2, () => { g.globalAlpha = .9; g.strokeStyle = style.getPropertyValue("--c5"); g.lineWidth = Math.max(1.5, W / 380); g.setLineDash([4, 3]); g.beginPath(); g.arc(p[0], p[1], r, 0, 7); g.stroke(); g.setLineDash([]); }]); }
      if (this.show.density) for (const point of this.cloud) { const p = look(point.p), r = .42 * p[3]; items.push([p[2], () => { g.globalAlpha = .08 + .4 * point.w; g.fillStyle = style.getPropertyValue("--c4"); g.beginPath(); g.arc(p[0], p[1], r, 0, 7); g.fill(); }]); }
      items.sort((a, b) => a[0] - b[0]);
      for (const item of items) item[1]();
      g.globalAlpha = 1;
      const names = [...new Set(this.atoms.map((a) => a.s))], unit = W / this.canvas.clientWidth || 1;
      let x = 12 * unit;
      g.font = `${12 * unit}px sans-serif`; g.textBaseline = "middle";
      for (const s of names) { g.drawImage(sprite(s), x, H - 20 * unit, 12 * unit, 12 * unit); x += 16 * unit; g.fillStyle = style.color; g.fillText(s, x, H - 13.5 * unit); x += g.measureText(s).width + 12 * unit; }
      canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
    }
  }
  const start = (details) => { const box = details.querySelector(".structure"); if (box && !box.viewer) box.viewer = new Viewer(box); };
  document.querySelectorAll("details.candidate").forEach((d) => { d.addEventListener("toggle", () => { if (d.open) start(d); }); if (d.open) start(d); });
  document.addEventListener("printing", () => document.querySelectorAll("details.candidate[open]").forEach(start));
})();
