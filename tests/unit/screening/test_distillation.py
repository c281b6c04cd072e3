"""Which runs teach: a melt is no lesson about the crystal."""

from types import SimpleNamespace

import pytest

from ionsieve.errors import InputError
from ionsieve.screening.distillation import _intact
from ionsieve.verdicts import Outcome


def test_molten_runs_do_not_teach():
    runs = [SimpleNamespace(name="solid"), SimpleNamespace(name="molten")]
    measured = {
        "solid": SimpleNamespace(outcome=Outcome.COMPLETED, reason=""),
        "molten": SimpleNamespace(outcome=Outcome.MELTED, reason="the Lindemann ratio is 0.17"),
    }
    said = []
    assert [run.name for run in _intact(runs, measured, "sulfide", said.append)] == ["solid"]
    assert said == [f"molten is left out: {Outcome.MELTED.sentence} the Lindemann ratio is 0.17"]
    with pytest.raises(InputError, match="lost its framework"):
        _intact(runs[1:], measured, "sulfide", said.append)
