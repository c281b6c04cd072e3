"""SevenNet passes the contract in its own environment: `pip install ionsieve`, then `pip install sevenn`."""

from __future__ import annotations

import pytest
import torch

from ionsieve.errors import InputError
from ionsieve.potentials import PotentialSettings, load
from ionsieve.testing.potentials import validate_adapter

pytest.importorskip("sevenn", reason="needs e3nn >= 0.5, which mace-torch excludes: see docs/guide/potentials.md")


@pytest.mark.parametrize(("name", "head"), [("7net-0", None), ("7net-mf-0", "PBE")])
@pytest.mark.parametrize("one_by_one", [True, False])
def test_sevennet_passes_the_contract(name: str, head: str | None, one_by_one: bool) -> None:
    torch.set_num_threads(1)
    potential = load(PotentialSettings(name=name, head=head))
    potential.one_by_one = one_by_one
    validate_adapter(potential).raise_if_failed()


def test_a_multi_fidelity_model_needs_its_head() -> None:
    with pytest.raises(InputError, match="several modalities") as error:
        load(PotentialSettings(name="7net-mf-0"))
    assert "R2SCAN" in str(error.value)
