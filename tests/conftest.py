"""For all tests. A skipped check is no check: with `IONSIEVE_NO_SKIPS` (CI) an unexpected skip is a failure."""

import os
import re
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# how fast examples are drawn says something about the machine's load and nothing about the code
settings.register_profile("ionsieve", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ionsieve")

#: What no machine of CI can have: two packages that exclude ours, a second interpreter, a GPU's library, a mount.
EXPECTED = re.compile(
    "e3nn|sevenn is here|cuEquivariance|IONSIEVE_ROCRATE_PYTHON|mounting|needs root|several radii are computed in NumPy"
)


@pytest.fixture(scope="module")
def one_thread() -> Generator[None, None, None]:
    """Give torch one thread within a module: two under contention are many times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("IONSIEVE_NO_SKIPS"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not EXPECTED.search(reason):
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may be: {reason}"
    return report
