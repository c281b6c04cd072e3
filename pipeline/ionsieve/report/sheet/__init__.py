"""The synthesis sheet: what to weigh, how such phases are usually made, and what to expect of the powder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.report.sheet.balance import Batch as Batch
    from ionsieve.report.sheet.balance import Weighing as Weighing
    from ionsieve.report.sheet.balance import weigh as weigh
    from ionsieve.report.sheet.settings import SheetSettings as SheetSettings
    from ionsieve.report.sheet.view import SheetView as SheetView
    from ionsieve.report.sheet.view import sheet_view as sheet_view
    from ionsieve.report.sheet.writing import write_sheets as write_sheets

_HOME = {
    "Batch": "balance",
    "Weighing": "balance",
    "weigh": "balance",
    "SheetSettings": "settings",
    "SheetView": "view",
    "sheet_view": "view",
    "write_sheets": "writing",
}

__all__ = ["Batch", "SheetSettings", "SheetView", "Weighing", "sheet_view", "weigh", "write_sheets"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
