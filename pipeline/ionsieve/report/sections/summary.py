"""The first screen: what was found, how far to trust it, what to make first."""

from __future__ import annotations

from ionsieve.report.kit import Section
from ionsieve.report.kit import render as fill
from ionsieve.report.view import ReportView

__all__ = ["render"]


def render(view: ReportView) -> Section:
    """Draw the section."""
    return Section("summary", "Summary", fill("summary.html.j2", view=view))
