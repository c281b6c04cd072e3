"""One page a candidate."""

from __future__ import annotations

from ionsieve.report.kit import Section
from ionsieve.report.kit import render as fill
from ionsieve.report.view import ReportView

__all__ = ["render"]


def render(view: ReportView) -> Section:
    """Draw the section."""
    return Section("candidates", "Candidates", fill("candidates.html.j2", view=view))
