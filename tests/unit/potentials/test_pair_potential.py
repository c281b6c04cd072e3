"""The analytic potentials: values by hand, and bitwise the same in any company and at any age of the list."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ionsieve.errors import InputError
from ionsieve.potentials.pair import PairPotential, born_mayer_coulomb, lennard_jones
from ionsieve.potentials.settings import PairSettings
from ionsieve.systems import Batch

KINDS = [("pair-lj", PairSettings(epsilon_eV=0.02, sigma_A=2.4, cutoff_A=6.0)), ("pair-ionic", PairSettings())]


def dimer(distance_A: float, symbols: str = "LiCl") -> Batch:
    return Batch.from_atoms([Atoms(symbols, positions=[[0, 0, 0], [0, 0, distance_A]], cell=[30] * 3, pbc=True)])


def test_lennard_jones_dimer_by_hand() -> None:
    settings = PairSettings(epsilon_eV=0.02, sigma_A=2.4, cutoff_A=8.0, switch_A=1.0)
    r = 3.1
    result = PairPotential("pair-lj", settings).evaluate(dimer(r))
    ratio = (2.4 / r) ** 6
    assert float(result.energies[0]) == pytest.approx(4 * 0.02 * (ratio**2 - ratio), rel=1e-12)
    slope = -24 * 0.02 * (2 * ratio**2 - ratio) / r
    assert float(result.forces[1, 2]) == pytest.approx(-slope, rel=1e-12)
    assert float(result.forces[0, 2]) == pytest.approx(slope, rel=1e-12)


def test_ionic_dimer_by_hand() -> None:
    settings = PairSettings(cutoff_A=8.0, switch_A=1.0, charge_scale=1.0, damping_per_A=0.2, hardness_A=0.3)
    r, cut, a = 2.4, 8.0, 0.2
    at = math.erfc(a * cut) / cut
    slope = at / cut + 2 * a / math.sqrt(math.pi) * math.exp(-((a * cut) ** 2)) / cut
    coulomb = -14.399645478425668 * (math.erfc(a * r) / r - at + (r - cut) * slope)
    repulsion = 0.1 * math.exp((0.76 + 1.81 - r) / 0.3)
    result = PairPotential("pair-ionic", settings).evaluate(dimer(r))
    assert float(result.energies[0]) == pytest.approx(coulomb + repulsion, rel=1e-12)


@pytest.mark.parametrize("make", [lennard_jones, born_mayer_coulomb])
def test_energy_and_force_vanish_at_the_cutoff_and_are_consistent(make: object) -> None:
    settings = PairSettings(sigma_A=3.0, epsilon_eV=0.1)
    function = make(settings)  # type: ignore[operator]
    r = torch.linspace(1.8, settings.cutoff_A, 4001, dtype=torch.float64)
    first, second = torch.full((4001,), 3), torch.full((4001,), 17)
    energy, slope = function(r, first, second)
    assert abs(float(energy[-1])) < 1e-14
    assert abs(float(slope[-1])) < 1e-14
    numeric = torch.gradient(energy, spacing=(r,))[0]
    assert torch.allclose(numeric[1:-1], slope[1:-1], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_bitwise_the_same_in_any_company(kind: str, settings: PairSettings) -> None:
    rng = np.random.default_rng(0)
    systems = []
    for repeat in ((1, 1, 1), (2, 1, 1), (3, 2, 1), (2, 2, 2)):
        atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True) * repeat
        atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
        systems.append(atoms)
    alone = [PairPotential(kind, settings).evaluate(Batch.from_atoms([a]), stress=True) for a in systems]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 2, 1], [1, 3, 3, 0, 1]):
        together = PairPotential(kind, settings).evaluate(Batch.from_atoms([systems[k] for k in order]), stress=True)
        begin = 0
        for place, k in enumerate(order):
            rows = slice(begin, begin + len(systems[k]))
            begin += len(systems[k])
            assert torch.equal(together.forces[rows], alone[k].forces)
            assert torch.equal(together.energies[place], alone[k].energies[0])
            assert together.stresses is not None
            assert alone[k].stresses is not None
            assert torch.equal(together.stresses[place], alone[k].stresses[0])


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_bitwise_the_same_after_a_restart(kind: str, settings: PairSettings) -> None:
    """A potential that has followed the motion and one that sees the last frame only agree to the last bit."""
    rng = np.random.default_rng(1)
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True) * (2, 2, 1)
    old = PairPotential(kind, settings)
    for _ in range(60):
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
        followed = old.evaluate(Batch.from_atoms([atoms]), stress=True)
    fresh = PairPotential(kind, settings).evaluate(Batch.from_atoms([atoms]), stress=True)
    assert torch.equal(followed.forces, fresh.forces)
    assert torch.equal(followed.energies, fresh.energies)
    assert 0 < old.neighbour_statistics.rebuilt < 40


def test_rock_salt_is_stable_under_the_ionic_model() -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    potential = PairPotential("pair-ionic")
    perfect = float(potential.evaluate(Batch.from_atoms([atoms])).energies[0])
    assert perfect < -4.0
    rng = np.random.default_rng(2)
    for _ in range(10):
        moved = atoms.copy()
        moved.positions += rng.normal(0, 0.1, moved.positions.shape)
        assert float(potential.evaluate(Batch.from_atoms([moved])).energies[0]) > perfect


def test_the_identity_follows_the_parameters() -> None:
    one, other = PairPotential("pair-lj"), PairPotential("pair-lj", PairSettings(sigma_A=3.3))
    assert one.info.sha256 != other.info.sha256 != PairPotential("pair-ionic").info.sha256


def test_elements_without_a_charge_are_refused() -> None:
    with pytest.raises(InputError, match="Xe"):
        PairPotential("pair-ionic").evaluate(dimer(3.0, "LiXe"))
