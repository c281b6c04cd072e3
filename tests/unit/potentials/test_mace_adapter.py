"""MACE: what its import leaves behind, heads, files that are no MACE, demands that cannot be met."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk

from ionsieve.dynamics import DynamicsSettings, Job, RelaxSettings, relax_resumable, simulate
from ionsieve.errors import DataError, InputError, SetupError
from ionsieve.potentials import PotentialSettings, catalogue, load
from ionsieve.potentials.mace import import_mace
from ionsieve.systems import Batch
from ionsieve.testing.tiny_mace import build_tiny_mace, write_tiny_mace


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_mace(tmp_path_factory.mktemp("mace") / "tiny.model", numbers=(3, 17), heads=("pbe", "r2scan"))


def settings(path: Path, **changes: object) -> PotentialSettings:
    return PotentialSettings.model_validate({"name": "mace", "path": str(path), "trust": True, **changes})


def test_safe_loading_stays_on_after_the_import() -> None:
    """`mace` switches it off for the whole process when imported."""
    code = (
        "import os, warnings; warnings.simplefilter('ignore');"
        "from ionsieve.potentials.mace import import_mace; import_mace();"
        "print('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' in os.environ)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().splitlines()[-1] == "False"


def test_heads_are_chosen_and_differ(tiny: Path) -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.1)
    atoms.positions += np.random.default_rng(0).normal(0, 0.1, atoms.positions.shape)
    batch = Batch.from_atoms([atoms])
    potentials = [load(settings(tiny, head=head, dtype="float64")) for head in ("pbe", "r2scan")]
    forces = [potential.evaluate(batch).forces for potential in potentials]
    assert not torch.allclose(forces[0], forces[1])
    assert [p.info.name for p in potentials] == ["mace:tiny.model [pbe]", "mace:tiny.model [r2scan]"]


def test_a_run_does_not_go_on_with_another_head(tiny: Path, tmp_path: Path) -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.1)
    job = Job("r", atoms, 300.0, (1, "r"), tmp_path / "r")
    short = DynamicsSettings(equilibrate_ps=0.0, produce_ps=0.04, guard_steps=5)
    assert simulate([job], load(settings(tiny, head="pbe")), short, deadline_s=0.0)[0].state == "unfinished"
    with pytest.raises(DataError, match="another run"):
        simulate([job], load(settings(tiny, head="r2scan")), short)
    path = tmp_path / "relaxation.npz"
    atoms.rattle(0.1, seed=0)
    tight = RelaxSettings(fmax_eV_per_A=1e-9)
    assert relax_resumable(atoms, load(settings(tiny, head="pbe")), tight, path, stop=lambda: True) is None
    with pytest.raises(DataError, match="another run"):
        relax_resumable(atoms, load(settings(tiny, head="r2scan")), tight, path)


@pytest.mark.parametrize("head", [None, "scan"])
def test_a_head_must_be_one_of_the_models(tiny: Path, head: str | None) -> None:
    with pytest.raises(InputError) as error:
        load(settings(tiny, head=head))
    assert error.value.problem.expected == "pbe, r2scan"


def test_a_file_that_holds_no_mace(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "other.model")
    with pytest.raises(SetupError, match="no MACE") as error:
        load(settings(tmp_path / "other.model"))
    assert error.value.problem.found == "Linear"


@pytest.mark.skipif(find_spec("cuequivariance_torch") is not None, reason="cuEquivariance is installed here")
def test_cuequivariance_that_is_not_there(tiny: Path) -> None:
    with pytest.raises(SetupError, match="cuEquivariance"):
        load(settings(tiny, head="pbe", accelerate="on"))
    assert not load(settings(tiny, head="pbe")).accelerated  # type: ignore[attr-defined]


def test_elements_are_those_of_the_file(tiny: Path) -> None:
    potential = load(settings(tiny, head="pbe"))
    assert potential.info.elements == {3, 17}
    assert potential.info.cutoff_A == 4.5
    with pytest.raises(InputError, match="was not trained for Na"):
        potential.evaluate(Batch.from_atoms([bulk("NaCl", "rocksalt", a=5.6)]))


def test_equal_seeds_give_equal_tiny_models() -> None:
    before = torch.get_default_dtype()
    one, other = (build_tiny_mace((3, 17), channels=4, seed=5).state_dict() for _ in range(2))
    assert torch.get_default_dtype() is before
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_cache_names_are_those_of_the_packages_downloader() -> None:
    import_mace()
    from mace.calculators.foundations_models import mace_mp_urls

    for card in (card for card in catalogue() if card.family == "mace"):
        assert card.path is not None
        name = mace_mp_urls[card.download_key].rsplit("/", 1)[1]
        assert card.path.name == "".join(c for c in name if c.isalnum() or c == "_"), card.name
