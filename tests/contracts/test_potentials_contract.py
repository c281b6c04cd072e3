"""Every adapter that runs in this environment passes the public contract."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ionsieve.potentials import PotentialSettings, load
from ionsieve.testing.potentials import validate_adapter
from ionsieve.testing.tiny_mace import write_tiny_mace

CASES = [
    pytest.param({"name": "pair-lj", "pair": {"epsilon_eV": 0.01, "sigma_A": 2.2}}, id="pair-lj"),
    pytest.param({"name": "pair-ionic"}, id="pair-ionic"),
    pytest.param({"name": "chgnet-0.3.0"}, id="chgnet-0.3.0"),
    pytest.param({"name": "chgnet-r2scan"}, id="chgnet-r2scan"),
    pytest.param({"name": "chgnet-0.3.0", "fast": False}, id="chgnet-plain-path", marks=pytest.mark.slow),
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("settings", CASES)
def test_adapter_passes_the_contract(settings: dict[str, object]) -> None:
    potential = load(PotentialSettings.model_validate(settings))
    report = validate_adapter(potential)
    report.raise_if_failed()
    assert len(report.checks) > 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_mace(tmp_path_factory.mktemp("mace") / "tiny.model", heads=("pbe", "r2scan"))


@pytest.mark.parametrize(("dtype", "one_by_one"), [("float32", True), ("float64", False)])
def test_mace_passes_the_contract(tiny: Path, dtype: str, one_by_one: bool) -> None:
    settings = PotentialSettings(name="mace", path=str(tiny), trust=True, dtype=dtype, head="r2scan")
    potential = load(settings)
    potential.one_by_one = one_by_one
    validate_adapter(potential).raise_if_failed()


def test_mace_with_cuequivariance_passes_the_contract(tiny: Path) -> None:
    pytest.importorskip("cuequivariance_torch", reason="cuEquivariance is optional: pip install cuequivariance-torch")
    before = torch.get_default_dtype()
    settings = PotentialSettings(name="mace", path=str(tiny), trust=True, head="pbe", accelerate="on")
    potential = load(settings)
    potential.one_by_one = False
    assert potential.accelerated
    assert torch.get_default_dtype() is before
    validate_adapter(potential).raise_if_failed()
