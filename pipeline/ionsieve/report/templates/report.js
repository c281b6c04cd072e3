"use strict";
(() => {
  const $ = (s, root = document) => root.querySelector(s);
  const $$ = (s, root = document) => [...root.querySelectorAll(s)];
  const say = (text) => { const box = $("#live-status"); if (box) box.textContent = text; };
  const remembered = (key, value) => {
    try { if (value === undefined) return localStorage.getItem(key); localStorage.setItem(key, value); } catch { /* a file without storage: the choice lasts for this visit */ }
    return null;
  };

  // theme
  const root = document.documentElement;
  const stored = remembered("ionsieve-theme");
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  $("#theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered("ionsieve-theme", root.dataset.theme);
    document.dispatchEvent(new CustomEvent("themechange"));
    say(`${root.dataset.theme} colours`);
  });

  // where am I
  const links = new Map($$("nav a").map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver((entries) => {
    for (const e of entries) if (e.isIntersecting) {
      for (const a of links.values()) { a.classList.remove("here"); a.removeAttribute("aria-current"); }
      const a = links.get(e.target.id);
      if (a) { a.classList.add("here"); a.setAttribute("aria-current", "true"); }
    }
  }, { rootMargin: "-12% 0px -80% 0px" });
  $$("main > section").forEach((s) => watch.observe(s));

  // files
  const save = (name, type, text) => {
    const url = URL.createObjectURL(new Blob([text], { type }));
    const a = document.createElement("a");
    a.href = url; a.download = name; a.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const cell = (v) => v === null || v === undefined ? "" : /[",\n]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : String(v);
  const csv = (columns, rows) => [columns, ...rows].map((r) => r.map(cell).join(",")).join("\n") + "\n";
  const dataOf = (figure) => JSON.parse($(".figure-data", figure).textContent);

  const tableOf = (data) => {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const c of data.columns) { const th = document.createElement("th"); th.scope = "col"; th.textContent = c; head.append(th); }
    const body = table.createTBody();
    for (const r of data.rows) { const tr = body.insertRow(); for (const v of r) tr.insertCell().textContent = v ?? "–"; }
    return table;
  };

  const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-family", "font-size", "text-anchor"];
  const standalone = (svg) => {
    const copy = svg.cloneNode(true);
    const from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((element, i) => {
      const style = getComputedStyle(element);
      for (const name of PAINT) to[i].style.setProperty(name, style.getPropertyValue(name));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    return new XMLSerializer().serializeToString(copy);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (!button) return;
    const figure = button.closest("figure"), data = dataOf(figure);
    if (button.dataset.act === "csv") save(`${data.name}.csv`, "text/csv", csv(data.columns, data.rows));
    if (button.dataset.act === "svg") save(`${data.name}.svg`, "image/svg+xml", standalone($("svg.plot", figure)));
    if (button.dataset.act === "table") {
      const shown = $(".data-table", figure);
      button.setAttribute("aria-expanded", String(!shown));
      if (shown) { shown.remove(); return; }
      const box = document.createElement("div");
      box.className = "data-table"; box.tabIndex = 0; box.setAttribute("role", "region"); box.setAttribute("aria-label", "Data of the figure");
      box.append(tableOf(data));
      $("figcaption", figure).append(box);
    }
  });

  // the ranking table
  const table = $("#ranking-table");
  if (table) {
    const value = (row, column) => {
      const text = row.cells[column].dataset.value ?? "";
      if (text === "") return null;
      const n = Number(text);
      return Number.isNaN(n) ? text.toLowerCase() : n;
    };
    const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
    const heads = $$("thead th", table);
    heads.forEach((th, column) => {
      if (!th.dataset.sort) return;
      $("button", th).addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        for (const body of table.tBodies) {
          const rows = [...body.rows].filter((r) => !r.classList.contains("section-row"));
          const keyed = rows.map((row, i) => ({ row, i, v: value(row, column) }));
          keyed.sort((a, b) => a.v === null || b.v === null ? (a.v === null) - (b.v === null) || a.i - b.i : (down ? -1 : 1) * compare(a.v, b.v) || a.i - b.i);
          body.append(...keyed.map((k) => k.row));
        }
        say(`sorted by ${th.textContent.trim()}, ${down ? "descending" : "ascending"}`);
      });
    });
    const find = $("#find"), family = $("#family"), boxes = $$("input[name=section]"), status = $("#table-status");
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const open = new Set(boxes.filter((b) => b.checked).map((b) => b.value));
      let shown = 0, all = 0;
      for (const body of table.tBodies) {
        let here = 0;
        for (const row of body.rows) {
          if (row.classList.contains("section-row")) continue;
          all += 1;
          const fits = words.every((w) => row.dataset.text.includes(w)) && (!family.value || row.dataset.family === family.value);
          row.hidden = !fits;
          if (fits) here += 1;
        }
        body.hidden = !open.has(body.dataset.section) || here === 0;
        if (!body.hidden) shown += here;
      }
      status.textContent = shown === all ? `All ${all} candidates are shown.` : `${shown} of ${all} candidates are shown.`;
    };
    [find, family, ...boxes].forEach((e) => e.addEventListener("input", filter));
    filter();
    $("#table-csv").addEventListener("click", () => {
      const rows = JSON.parse($(".table-data").textContent);
      const columns = Object.keys(rows[0] ?? {});
      save("ranking.csv", "text/csv", csv(columns, rows.map((r) => columns.map((c) => r[c]))));
    });
  }

  // candidates
  const openTarget = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.matches("details")) { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", openTarget);
  document.addEventListener("click", (e) => { const a = e.target.closest('a[href^="#candidate-"]'); if (a && a.hash === location.hash) openTarget(); });
  openTarget();
  $("#close-all")?.addEventListener("click", () => $$("details.candidate[open]").forEach((d) => { d.open = false; }));
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = $$("details.candidate[data-rank]").filter((d) => Number(d.dataset.rank) <= 5 && !d.open);
    opened.forEach((d) => { d.open = true; });
    document.dispatchEvent(new CustomEvent("printing"));
  });
  addEventListener("afterprint", () => { opened.forEach((d) => { d.open = false; }); opened = []; });

  // a running campaign: look for a newer page now and then, keep the reader's place
  if (document.body.dataset.live) {
    const place = remembered("ionsieve-scroll");
    if (place && !location.hash) scrollTo(0, Number(place));
    let seen = null;
    setInterval(async () => {
      try {
        const answer = await fetch("/version", { cache: "no-store" });
        const version = await answer.text();
        if (seen !== null && version !== seen) { remembered("ionsieve-scroll", String(scrollY)); location.reload(); }
        seen = version;
      } catch { say("the server does not answer"); }
    }, 5000);
  }
})();
