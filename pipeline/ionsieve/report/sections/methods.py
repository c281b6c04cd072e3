"""What was done, with which software, and how to make it again."""

from __future__ import annotations

from ionsieve.report.kit import Section
from ionsieve.report.kit import render as fill
from ionsieve.report.view import ReportView

__all__ = ["render"]


def render(view: ReportView) -> Section:
    """Draw the section."""
    return Section("methods", "Methods", fill("methods.html.j2", view=view))
