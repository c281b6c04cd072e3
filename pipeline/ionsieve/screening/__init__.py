"""When and where the stages run: plan, funnel, driver, clusters, progress. The only room that knows Dask.

The door is `run_campaign`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionsieve.screening.driver import RunReport as RunReport
    from ionsieve.screening.retries import RunRules as RunRules
    from ionsieve.screening.run import resume_campaign as resume_campaign
    from ionsieve.screening.run import run_campaign as run_campaign
    from ionsieve.screening.run import run_plan as run_plan

_WHERE = {
    "RunReport": "driver",
    "RunRules": "retries",
    "resume_campaign": "run",
    "run_campaign": "run",
    "run_plan": "run",
}
__all__ = ["RunReport", "RunRules", "resume_campaign", "run_campaign", "run_plan"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        import importlib

        return getattr(importlib.import_module(f"ionsieve.screening.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
