"""The order of the candidates, and how firm it is.

`rank` turns what MD and geometry say about each candidate into one `Ranking`; `table` and `to_csv` print it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.ranking.elements import ELEMENTS as ELEMENTS
    from ionsieve.ranking.elements import ElementClass as ElementClass
    from ionsieve.ranking.imported import ImportedColumns as ImportedColumns
    from ionsieve.ranking.imported import check_limits as check_limits
    from ionsieve.ranking.imported import read_columns as read_columns
    from ionsieve.ranking.ordering import rank as rank
    from ionsieve.ranking.pareto import fronts as fronts
    from ionsieve.ranking.posterior import Posterior as Posterior
    from ionsieve.ranking.settings import HardLimit as HardLimit
    from ionsieve.ranking.settings import RankingSettings as RankingSettings
    from ionsieve.ranking.settings import Weights as Weights
    from ionsieve.ranking.tables import table as table
    from ionsieve.ranking.tables import to_csv as to_csv

_HOME = {
    "ELEMENTS": "elements",
    "ElementClass": "elements",
    "ImportedColumns": "imported",
    "check_limits": "imported",
    "read_columns": "imported",
    "fronts": "pareto",
    "Posterior": "posterior",
    "rank": "ordering",
    "HardLimit": "settings",
    "RankingSettings": "settings",
    "Weights": "settings",
    "table": "tables",
    "to_csv": "tables",
}

__all__ = [
    "ELEMENTS",
    "ElementClass",
    "HardLimit",
    "ImportedColumns",
    "Posterior",
    "RankingSettings",
    "Weights",
    "check_limits",
    "fronts",
    "rank",
    "read_columns",
    "table",
    "to_csv",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
