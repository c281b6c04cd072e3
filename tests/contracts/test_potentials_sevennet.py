"""SevenNet passes the contract in its own environment: `make test-sevennet` builds it and runs these."""

from __future__ import annotations

import numpy as np
import pytest

from ionsieve.errors import InputError
from ionsieve.potentials import PotentialSettings, load
from ionsieve.testing.potentials import example_systems, validate_adapter

pytestmark = [pytest.mark.sevennet, pytest.mark.usefixtures("one_thread")]
pytest.importorskip("sevenn", reason="needs e3nn >= 0.5, which mace-torch excludes: `make test-sevennet`")


@pytest.mark.parametrize(("name", "head"), [("7net-0", None), ("7net-l3i5", None), ("7net-mf-0", "PBE")])
@pytest.mark.parametrize("one_by_one", [True, False])
def test_sevennet_passes_the_contract(name: str, head: str | None, one_by_one: bool) -> None:
    potential = load(PotentialSettings(name=name, head=head, device="cpu"))
    potential.one_by_one = one_by_one
    report = validate_adapter(potential)
    assert len(report.checks) > 40
    report.raise_if_failed()


def test_the_modalities_differ() -> None:
    """Head PBE and head R2SCAN of one file are two potentials."""
    (cell, *_) = example_systems(("Li", "O"))
    forces = []
    for head in ("PBE", "R2SCAN"):
        cell.calc = load(PotentialSettings(name="7net-mf-0", head=head, device="cpu")).as_ase()
        forces.append(cell.get_forces())
    assert np.abs(forces[0] - forces[1]).max() > 1e-3


def test_a_multi_fidelity_model_needs_its_head() -> None:
    with pytest.raises(InputError, match="several modalities") as error:
        load(PotentialSettings(name="7net-mf-0"))
    assert "R2SCAN" in str(error.value)


def test_other_types_than_float32_are_refused() -> None:
    with pytest.raises(InputError, match="float32 only"):
        load(PotentialSettings(name="7net-0", dtype="float64", device="cpu"))
