"""What the laboratory gets: the page, the tables, the exports and the synthesis sheets.

results = load_results("runs/nasicon")
write_report(results, "report.html")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.report.page import write_report as write_report
    from ionsieve.report.source import CampaignResults as CampaignResults
    from ionsieve.report.source import Density as Density
    from ionsieve.report.source import Event as Event
    from ionsieve.report.source import load_results as load_results
    from ionsieve.report.view import ReportView as ReportView
    from ionsieve.report.view import build_view as build_view

_HOME = {
    "write_report": "page",
    "CampaignResults": "source",
    "Density": "source",
    "Event": "source",
    "load_results": "source",
    "ReportView": "view",
    "build_view": "view",
}

__all__ = ["CampaignResults", "Density", "Event", "ReportView", "build_view", "load_results", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
