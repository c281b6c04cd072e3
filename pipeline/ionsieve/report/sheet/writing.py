"""Sheets on disk: one HTML page that prints on A4, and CSV files of its tables, for each candidate."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from ionsieve.errors import InputError
from ionsieve.report.exports.select import Chosen, choose, stem
from ionsieve.report.kit import render
from ionsieve.report.page import POLICY, asset
from ionsieve.report.sheet.settings import SheetSettings
from ionsieve.report.sheet.view import SheetView, sheet_view
from ionsieve.report.source import CampaignResults
from ionsieve.store.folder import write_file

__all__ = ["sheet_csv", "sheet_html", "write_sheets"]


def sheet_html(view: SheetView) -> str:
    """Return the page of one sheet."""
    css = asset("report.css")
    return str(render("sheet.html.j2", view=view, css=css, policy=POLICY.format(connect="'none'")))


def sheet_csv(view: SheetView) -> str:
    """Return the weighing list as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            "precursor",
            "moles_per_formula",
            "molar_mass_g_per_mol",
            "stoichiometric_g",
            "excess_wt_percent",
            "purity_wt_percent",
            "weigh_g",
        ]
    )
    for w in view.batch.weighings:
        writer.writerow(
            [
                w.precursor,
                f"{w.moles_per_formula:.6f}",
                f"{w.molar_mass_g_per_mol:.4f}",
                f"{w.stoichiometric_g:.4f}",
                f"{w.excess_wt_percent:g}",
                f"{w.purity_wt_percent:g}",
                f"{w.weigh_g:.4f}",
            ]
        )
    return stream.getvalue()


def _xrd_csv(view: SheetView) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["cell", "two_theta_deg", "d_A", "intensity_percent", "hkl"])
    for name, one in view.patterns:
        for line in one.reflections:
            writer.writerow([name, line.two_theta_deg, line.d_A, line.intensity_percent, line.hkl])
    return stream.getvalue()


def write_sheets(
    results: CampaignResults,
    folder: str | Path,
    *,
    settings: SheetSettings | None = None,
    top: int | None = None,
    candidates: Sequence[str] = (),
    refuse: Callable[[str, InputError], None] | None = None,
) -> list[Path]:
    """Write ``*.html``, ``*.weighing.csv`` and ``*.xrd.csv`` for the chosen candidates (the top k when none is named).

    `refuse` is told the formula and the error of a candidate for which there is no sheet; without it the first such
    error is raised and nothing is written.

    Raises
    ------
    InputError
        When a candidate is unknown or cannot be balanced, or no candidate can be.
    """
    settings = settings or SheetSettings()
    if top is None and not candidates:
        top = results.ranking.top_k
    folder = Path(folder)
    views: list[tuple[Chosen, SheetView]] = []
    refused: list[tuple[str, InputError]] = []
    for one in choose(results, top=top, candidates=candidates):
        try:
            views.append((one, sheet_view(results, one, settings)))
        except InputError as error:
            if refuse is None:
                raise
            refused.append((one.row.formula, error))
    if refuse is not None:
        if not views and refused:
            raise refused[0][1]
        for formula, trouble in refused:
            refuse(formula, trouble)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one, view in views:
        for suffix, text in (
            ("html", sheet_html(view)),
            ("weighing.csv", sheet_csv(view)),
            ("xrd.csv", _xrd_csv(view)),
        ):
            path = folder / f"{stem(one)}.{suffix}"
            write_file(path, text)
            written.append(path)
    return written
