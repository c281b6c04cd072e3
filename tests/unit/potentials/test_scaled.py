"""A scaled potential scales barriers alone, and its dynamics are the unscaled ones at another temperature and clock."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ionsieve.errors import InputError
from ionsieve.potentials import PairSettings, PotentialSettings, load
from ionsieve.potentials.base import Potential
from ionsieve.potentials.scaled import ScaledPotential, scaled_arrhenius
from ionsieve.records import ArrheniusFit
from ionsieve.systems import Batch

S = 1.3


@pytest.fixture(scope="module")
def plain():
    return load(PotentialSettings(name="pair-lj", pair=PairSettings(cutoff_A=6.0), dtype="float64", device="cpu"))


@pytest.fixture(scope="module")
def scaled(plain):
    return ScaledPotential(plain, S)


def crystal(seed=0) -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)
    atoms.rattle(0.15, seed=seed)
    return atoms


def test_everything_is_scaled(plain, scaled):
    batch = Batch.from_atoms([crystal(0), crystal(1)])
    before, after = plain.evaluate(batch, stress=True), scaled.evaluate(batch, stress=True)
    for name in ("energies", "forces", "stresses"):
        torch.testing.assert_close(getattr(after, name), S * getattr(before, name))
    assert isinstance(scaled, Potential)
    assert scaled.info.name == "pair-lj x 1.3"
    assert scaled.evaluate(batch).stresses is None


def test_its_calculator_agrees_with_it(scaled):
    atoms = crystal(2)
    batch = scaled.evaluate(Batch.from_atoms([atoms]))
    atoms.calc = scaled.as_ase()
    assert atoms.get_potential_energy() == pytest.approx(float(batch.energies[0]))
    np.testing.assert_allclose(atoms.get_forces(), batch.forces.numpy(), atol=1e-8)


def verlet(potential, atoms, velocities, dt, steps):
    x, v = torch.as_tensor(atoms.positions), torch.as_tensor(velocities)
    start = Batch.from_atoms([atoms])
    path = []
    force = potential.evaluate(start).forces
    for _ in range(steps):
        v = v + 0.5 * dt * force
        x = x + dt * v
        force = potential.evaluate(Batch(x, start.cells, start.numbers, start.system_index)).forces
        v = v + 0.5 * dt * force
        path.append(x.numpy().copy())
    return np.array(path), float((v * v).sum())


def test_the_same_path_at_another_temperature_and_clock(plain, scaled):
    """Velocities times sqrt(s) and steps shorter by sqrt(s) give the same path: D_s(T) = sqrt(s) D(T/s). Mass is 1."""
    atoms = crystal(3)
    v = 0.05 * np.random.default_rng(4).standard_normal((len(atoms), 3))
    path, kinetic = verlet(plain, atoms, v, 0.5, 60)
    same, hotter = verlet(scaled, atoms, math.sqrt(S) * v, 0.5 / math.sqrt(S), 60)
    assert np.abs(path[-1] - atoms.positions).max() > 0.3, "the atoms moved"
    np.testing.assert_allclose(same, path, atol=1e-9)
    assert hotter == pytest.approx(S * kinetic)


def test_scaled_fit_is_the_line_read_at_another_temperature():
    fit = ArrheniusFit(
        ln_D0=-7.0, Ea_eV=0.3, covariance=((0.04, 0.003), (0.003, 0.0004)), n_points=4, leave_one_out_Ea_eV=(0.28, 0.33)
    )
    after = scaled_arrhenius(fit, S)
    k = 8.617333262145179e-5
    for temperature in (300.0, 900.0):
        moved = fit.ln_D0 - fit.Ea_eV * S / (k * temperature) + 0.5 * math.log(S)
        assert after.ln_D0 - after.Ea_eV / (k * temperature) == pytest.approx(moved)
        x = np.array([1.0, -1 / (k * temperature)])
        y = np.array([1.0, -S / (k * temperature)])
        assert x @ np.array(after.covariance) @ x == pytest.approx(y @ np.array(fit.covariance) @ y)
    assert after.leave_one_out_Ea_eV == pytest.approx((0.28 * S, 0.33 * S))
    assert scaled_arrhenius(fit, 1.0) == fit


@pytest.mark.parametrize("scale", [0.0, -1.0, 50.0, math.nan])
def test_a_scale_that_is_no_factor_is_refused(plain, scale):
    with pytest.raises(InputError, match="factor near 1"):
        ScaledPotential(plain, scale)
