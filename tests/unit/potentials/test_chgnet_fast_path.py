"""CHGNet's fast path: equal to the package, exact in its gradients, the same in any company."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from pymatgen.core import Structure

from ionsieve.potentials import PotentialSettings, load
from ionsieve.potentials.chgnet import CHGNetPotential
from ionsieve.potentials.chgnet_kernels import centred
from ionsieve.potentials.chgnet_network import line_graph
from ionsieve.resources import data_folder
from ionsieve.systems import Batch

pytestmark = pytest.mark.usefixtures("one_thread")


def chgnet(**changes: object) -> CHGNetPotential:
    potential = load(PotentialSettings.model_validate({"name": "chgnet-0.3.0", **changes}))
    assert isinstance(potential, CHGNetPotential)
    return potential


def perovskite(seed: int, repeat: tuple[int, int, int] = (2, 2, 2), a_A: float = 3.91) -> Atoms:
    atoms = Atoms(
        "Li3OCl",
        scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
        cell=[a_A] * 3,
        pbc=True,
    )
    atoms = atoms * repeat
    atoms.positions += np.random.default_rng(seed).normal(0, 0.08, atoms.positions.shape)
    return atoms


@pytest.mark.parametrize("name", ["LiTi2P3O12_R-3c", "Na3SbS4_I-43m"])
def test_forces_of_real_electrolytes_equal_the_package(name: str) -> None:
    structure = Structure.from_file(data_folder("structures") / f"{name}.cif").get_primitive_structure()
    atoms = structure.to_ase_atoms(msonable=False)
    atoms.positions += np.random.default_rng(1).normal(0, 0.05, atoms.positions.shape)
    potential = chgnet()
    found = potential.evaluate(Batch.from_atoms([atoms]), stress=True)
    atoms.calc = potential.as_ase()
    assert np.abs(found.forces.numpy() - atoms.get_forces()).max() < 1e-4
    assert float(found.energies[0]) == pytest.approx(atoms.get_potential_energy(), abs=2e-5 * len(atoms))
    assert found.stresses is not None
    assert np.abs(found.stresses[0].numpy() - atoms.get_stress(voigt=False)).max() < 1e-5


def test_gradients_are_exact_in_float64() -> None:
    """Hand-written backward passes against central differences: nothing but truncation remains."""
    potential = chgnet(dtype="float64")
    atoms = perovskite(3, (1, 1, 1))
    forces = potential.evaluate(Batch.from_atoms([atoms])).forces.numpy()
    rng = np.random.default_rng(4)
    for _ in range(4):
        direction = rng.normal(size=atoms.positions.shape)
        slopes = []
        for h in (2e-4, 1e-4):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions += sign * h * direction
                energies.append(float(potential.evaluate(Batch.from_atoms([moved])).energies[0]))
            slopes.append((energies[0] - energies[1]) / (2 * h))
        assert (4 * slopes[1] - slopes[0]) / 3 == pytest.approx(-float((forces * direction).sum()), abs=2e-6)


def test_bitwise_the_same_in_any_company_on_the_cpu() -> None:
    systems = [perovskite(1, (1, 1, 1)), perovskite(2, (2, 1, 1)), perovskite(3, (2, 2, 1))]
    potential = chgnet()
    alone = [potential.evaluate(Batch.from_atoms([a])) for a in systems]
    together = potential.evaluate(Batch.from_atoms([systems[2], systems[0], systems[1], systems[2]]))
    begin = 0
    for place, k in enumerate((2, 0, 1, 2)):
        rows = slice(begin, begin + len(systems[k]))
        begin += len(systems[k])
        assert torch.equal(together.forces[rows], alone[k].forces)
        assert torch.equal(together.energies[place], alone[k].energies[0])


def test_one_forward_pass_for_all_equals_one_by_one() -> None:
    """What a GPU does, on the CPU: the whole batch as one graph, blocks cut across systems."""
    systems = [perovskite(1, (1, 1, 1)), perovskite(2, (2, 1, 1)), perovskite(3, (2, 2, 2))]
    potential = chgnet()
    expected = potential.evaluate(Batch.from_atoms(systems), stress=True)
    potential.one_by_one = False
    try:
        found = potential.evaluate(Batch.from_atoms(systems), stress=True)
    finally:
        potential.one_by_one = True
    assert (found.forces - expected.forces).abs().max() < 1e-4
    assert found.stresses is not None
    assert expected.stresses is not None
    assert (found.stresses - expected.stresses).abs().max() < 1e-6


@pytest.mark.parametrize("block", [96, 10**9])
def test_the_size_of_a_block_does_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One block for everything is what a GPU does; small ones cut across atoms, bonds and systems."""
    systems = [perovskite(1, (1, 1, 1)), perovskite(2, (2, 1, 1))]
    potential = chgnet(dtype="float64")
    expected = potential.evaluate(Batch.from_atoms(systems)).forces
    monkeypatch.setattr("ionsieve.potentials.chgnet_kernels._BLOCK", block)
    monkeypatch.setattr(potential, "one_by_one", False)
    found = potential.evaluate(Batch.from_atoms(systems)).forces
    assert (found - expected).abs().max() < 1e-10


def test_the_same_after_a_restart() -> None:
    atoms = perovskite(5, (2, 1, 1))
    rng = np.random.default_rng(6)
    old = chgnet()
    for _ in range(10):
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
        followed = old.evaluate(Batch.from_atoms([atoms]))
    fresh = chgnet(skin_A=0.31)
    assert fresh is not old
    assert torch.equal(followed.forces, fresh.evaluate(Batch.from_atoms([atoms])).forces)


def test_far_from_the_origin_nothing_is_lost() -> None:
    """Unwrapped positions of a long run: vectors are formed in float64 before the network sees float32."""
    atoms = perovskite(7, (1, 1, 1))
    near = chgnet().evaluate(Batch.from_atoms([atoms])).forces
    atoms.positions += 2000 * atoms.cell.array.sum(0)
    far = chgnet().evaluate(Batch.from_atoms([atoms])).forces
    assert (near - far).abs().max() < 1e-5


def test_angles_are_all_ordered_pairs_of_bonds_of_an_atom() -> None:
    first, second = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 2, 2])  # the last is an atom and its own image
    distances = torch.tensor([1.0, 2.0, 2.9, 2.5])
    graph = line_graph(first, second, distances, 2.95, 3)
    bonds_of = [[0, 1], [0, 2], [1, 2, 3, 3]]
    expected = sum(len(b) * (len(b) - 1) for b in bonds_of)
    assert graph.outer.shape[0] == expected
    assert (graph.outer != graph.inner).all()
    assert (graph.atom[graph.outer] == graph.atom[graph.inner]).all()
    assert sorted(graph.bond.tolist()) == sorted(b for bonds in bonds_of for b in bonds)
    assert int(graph.sign.sum()) == 0


def test_folding_the_mean_of_a_layer_norm() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(5, 7, dtype=torch.float64), torch.randn(7, 8, dtype=torch.float64)
    y = (x @ w).view(5, 2, 4)
    assert torch.allclose((x @ centred(w, 2)).view(5, 2, 4), y - y.mean(-1, keepdim=True))


def test_a_failed_calculation_leaves_no_trace() -> None:
    """A system that raises must not change what the next one gets from the shared buffers."""
    potential = chgnet()
    atoms = perovskite(8, (1, 1, 1))
    expected = potential.evaluate(Batch.from_atoms([atoms])).forces
    broken = perovskite(9, (2, 2, 1))
    broken.positions[3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        potential.evaluate(Batch.from_atoms([broken]))
    assert torch.equal(potential.evaluate(Batch.from_atoms([atoms])).forces, expected)
