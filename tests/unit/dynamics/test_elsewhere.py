"""The engine, the relaxation and the networks on a pretended device: nothing is mixed, nothing differs."""

import dataclasses

import numpy as np
import pytest
import torch
from ase.build import bulk

from ionsieve.dynamics import DynamicsSettings, Job, RelaxSettings, relax_resumable, simulate
from ionsieve.dynamics.packing import Capacity
from ionsieve.potentials import PotentialSettings, catalogue
from ionsieve.potentials.chgnet import CHGNetPotential
from ionsieve.potentials.committee import CommitteePotential
from ionsieve.potentials.files import ModelFile
from ionsieve.potentials.mace import MACEPotential
from ionsieve.potentials.pair import PairPotential
from ionsieve.systems import Batch
from ionsieve.testing.elsewhere import Elsewhere, MixedDevicesError
from ionsieve.testing.tiny_mace import write_tiny_mace
from ionsieve.trajectory import read

SETTINGS = DynamicsSettings(equilibrate_ps=0.04, produce_ps=0.08, tau_fs=40, guard_steps=20, npt_ps=0.04)


pytestmark = pytest.mark.usefixtures("one_thread")


def salt(seed, repeat=1):
    atoms = bulk("LiCl", "rocksalt", a=5.3, cubic=True) * (repeat, 1, 1)
    atoms.rattle(0.05, seed=seed)
    return atoms


def jobs(folder):
    return [
        Job(f"r{i}", salt(i, 1 + i % 2), 400.0, (1, i), folder / f"r{i}", mobile=("Li",), polyanions=(("Cl", "Li", 3),))
        for i in range(3)
    ]


def test_the_pretended_device_fails_where_a_gpu_would():
    with Elsewhere() as there:
        away, here = torch.ones(3, device=there.device), torch.ones(3)
        with pytest.raises(MixedDevicesError):
            away + here
        with pytest.raises(MixedDevicesError):
            here[away.long()]
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
        assert away[here.long() - 1].device == away.device
        assert float((2.0 * away).sum()) == 6.0
        np.testing.assert_array_equal((away + here.to(there.device)).cpu().numpy(), [2.0, 2.0, 2.0])
        assert there.waits.total() == 2


def compare(tmp_path):
    """Exponentials are torch's there and NumPy's here: the last bit may differ."""
    for i in range(3):
        here, there = (read(tmp_path / where / f"r{i}" / "trajectory.h5") for where in ("cpu", "there"))
        np.testing.assert_allclose(there.positions, here.positions, rtol=0, atol=1e-6)
        for name, values in here.scalars.items():
            np.testing.assert_allclose(there.scalars[name], values, rtol=1e-6)
        assert len(there) == len(here) == 5


@pytest.mark.parametrize(
    ("integrator", "barostat"),
    [("csvr", "crescale"), ("nose_hoover", "crescale_anisotropic"), ("baoab", "crescale")],
)
def test_runs_are_the_same_on_another_device(tmp_path, integrator, barostat):
    """Refilled (two of three fit), NPT beside NVT, guards, checkpoints, the published file."""
    settings = SETTINGS.model_copy(update={"integrator": integrator, "barostat": barostat})
    simulate(jobs(tmp_path / "cpu"), PairPotential("pair-ionic"), settings)
    with Elsewhere() as there:
        potential = PairPotential("pair-ionic", device=str(there.device))
        ended = simulate(jobs(tmp_path / "there"), potential, settings, capacity=Capacity(24))
    assert [p.state for p in ended] == ["done"] * 3
    assert there.waits.total() < 10 * 2 * 80  # at most ten a step
    compare(tmp_path)


def test_a_committee_runs_on_another_device(tmp_path):
    def members(device):
        soft = PotentialSettings().pair.model_copy(update={"hardness_A": 0.31})
        return CommitteePotential(
            [PairPotential("pair-ionic", device=device), PairPotential("pair-ionic", soft, device=device)]
        )

    simulate(jobs(tmp_path / "cpu"), members("cpu"), SETTINGS)
    with Elsewhere() as there:
        simulate(jobs(tmp_path / "there"), members(str(there.device)), SETTINGS)
    compare(tmp_path)


def test_a_relaxation_is_interrupted_on_one_device_and_goes_on_on_another(tmp_path):
    settings, path = RelaxSettings(max_volume_change_percent=60), tmp_path / "r.npz"
    near, devices = PairPotential("pair-ionic"), []
    whole = relax_resumable(salt(0), near, settings, tmp_path / "whole.npz")
    end = None
    with Elsewhere() as there:
        far = PairPotential("pair-ionic", device=str(there.device))
        while end is None:
            potential = (near, far)[len(devices) % 2]
            devices.append(potential.info.device)
            end = relax_resumable(salt(0), potential, settings, path, stop=lambda: True)
    assert len(devices) == whole.steps + 1 > 4
    np.testing.assert_array_equal(end.atoms.positions, whole.atoms.positions)
    assert end.energy_eV == whole.energy_eV


@pytest.mark.parametrize("family", ["chgnet", "mace"])
def test_networks_are_the_same_on_another_device(tmp_path, family):
    """As one graph, with what a GPU would do and a CPU does not: no blocks, no kept buffers."""
    card = catalogue()[0]
    if family == "chgnet":
        make, file = CHGNetPotential, ModelFile(card.path, card)
    else:
        make, file = MACEPotential, ModelFile(write_tiny_mace(tmp_path / "tiny.model", numbers=(3, 17), seed=0))
    cells = [salt(i, 1 + i % 2) for i in range(3)]
    near = make(file)
    near.one_by_one = False
    expected = near.evaluate(Batch.from_atoms(cells), stress=True)
    with Elsewhere() as there:
        far = make(dataclasses.replace(file, device=str(there.device)))
        assert not far.one_by_one
        batch = Batch.from_atoms(cells, device=there.device)
        for _ in range(3):
            there.waits.clear()
            batch = dataclasses.replace(batch, positions=batch.positions + 0.0)
            found = far.evaluate(batch)
        waits = there.waits.total()
        found = far.evaluate(batch, stress=True)
        for name in ("energies", "forces", "stresses"):
            value = getattr(found, name)
            assert value.device == there.device
            torch.testing.assert_close(value.cpu(), getattr(expected, name), rtol=0, atol=2e-6)
    assert waits <= (8 if family == "chgnet" else 20)
