"""The table of all candidates with their intervals, sortable and filterable, and the forest plot."""

from __future__ import annotations

from ionsieve.report.kit import Section
from ionsieve.report.kit import render as fill
from ionsieve.report.view import ReportView

__all__ = ["render"]


def render(view: ReportView) -> Section:
    """Draw the section."""
    return Section("ranking", "Ranking", fill("ranking.html.j2", view=view))
