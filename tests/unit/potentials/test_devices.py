"""The package's own calculators run on the very device of the potential, not on the first one."""

import sys
import types

import pytest

from ionsieve.potentials.chgnet import CHGNetPotential
from ionsieve.potentials.sevennet import SevenNetPotential


class Calculator:
    def __init__(self, **keywords):
        self.keywords = keywords


@pytest.mark.parametrize("device", ["cuda:1", "cpu"])
@pytest.mark.parametrize(
    ("kind", "module", "name", "key"),
    [
        (CHGNetPotential, "chgnet.model.dynamics", "CHGNetCalculator", "use_device"),
        (SevenNetPotential, "sevenn.calculator", "SevenNetCalculator", "device"),
    ],
)
def test_the_reference_runs_on_the_same_device(monkeypatch, device, kind, module, name, key):
    for parent in (module.partition(".")[0], module.rpartition(".")[0], module):
        fake = types.ModuleType(parent)
        fake.__path__ = []
        setattr(fake, name, Calculator)
        monkeypatch.setitem(sys.modules, parent, fake)
    monkeypatch.setattr("ionsieve.potentials.chgnet.load_chgnet", lambda *_: None)
    potential = kind.__new__(kind)
    potential._path, potential._version_name, potential._modality = "file", "", None
    potential._info = types.SimpleNamespace(device=device)
    assert potential.as_ase().keywords[key] == device
