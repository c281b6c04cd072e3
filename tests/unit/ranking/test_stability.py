"""Elastic constants against energies, the hull against cases by hand, the reference phases as crystals."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ionsieve.errors import InputError
from ionsieve.ranking.references import competing, names
from ionsieve.ranking.stability import (
    METAL_SHEAR_GPA,
    Phase,
    above_phases,
    elastic_moduli,
    relax_fully,
    voigt_reuss_hill,
)


@pytest.fixture(scope="module")
def copper():
    atoms, converged = relax_fully(bulk("Cu", cubic=True), EMT(), fmax_eV_per_A=1e-4)
    assert converged
    return atoms


@pytest.fixture(scope="module")
def constants(copper):
    return elastic_moduli(copper, EMT(), strain=0.002, fmax_eV_per_A=1e-4)


def test_a_cubic_crystal_has_cubic_constants(constants):
    C = constants.tensor_GPa
    assert C[0, 0] == pytest.approx(C[1, 1], rel=1e-3)
    assert C[0, 1] == pytest.approx(C[1, 2], rel=1e-3)
    assert C[3, 3] == pytest.approx(C[5, 5], rel=1e-3)
    assert np.abs(C[:3, 3:]).max() < 0.01 * C[0, 0]
    assert constants.bulk_GPa == pytest.approx((C[0, 0] + 2 * C[0, 1]) / 3, rel=1e-3)
    assert constants.bulk_error_GPa < 0.01 * constants.bulk_GPa
    assert constants.stable
    assert constants.asymmetry_GPa < 1


def test_the_bulk_modulus_is_the_curvature_of_the_energy(copper, constants):
    volumes, energies = [], []
    for x in np.linspace(0.99, 1.01, 9):
        atoms = copper.copy()
        atoms.set_cell(copper.cell * x, scale_atoms=True)
        atoms.calc = EMT()
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    curvature = 2 * np.polyfit(volumes, energies, 3)[-3] + 6 * np.polyfit(volumes, energies, 3)[0] * copper.get_volume()
    assert constants.bulk_GPa == pytest.approx(copper.get_volume() * curvature * 160.21766208, rel=0.01)


def test_the_shear_constant_is_the_curvature_of_the_energy(copper, constants):
    energies, shears = [], np.linspace(-0.01, 0.01, 9)
    for g in shears:
        atoms = copper.copy()
        atoms.set_cell(
            copper.cell.array @ (np.eye(3) + np.array([[0, g / 2, 0], [g / 2, 0, 0], [0, 0, 0]])), scale_atoms=True
        )
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
    c44 = 2 * np.polyfit(shears, energies, 2)[0] / copper.get_volume() * 160.21766208
    assert constants.tensor_GPa[5, 5] == pytest.approx(c44, rel=0.02)


def test_an_isotropic_tensor_returns_its_moduli():
    K, G = 40.0, 15.0
    C = np.zeros((6, 6))
    C[:3, :3] = K - 2 * G / 3
    C[range(3), range(3)] = K + 4 * G / 3
    C[range(3, 6), range(3, 6)] = G
    assert voigt_reuss_hill(C) == pytest.approx((K, 0, G, 0), abs=1e-9)


def test_the_hull_by_hand():
    references = [
        Phase("Na2O", {"Na": 2, "O": 1}, -12.0),
        Phase("NaCl", {"Na": 1, "Cl": 1}, -7.0),
        Phase("Na", {"Na": 1}, -1.0),
        Phase("LiCl", {"Li": 1, "Cl": 1}, -8.0),
    ]
    above, mixture = above_phases(Phase("Na3OCl", {"Na": 3, "O": 1, "Cl": 1}, -18.9), references)
    assert above == pytest.approx(0.1 / 5)
    assert mixture == pytest.approx({"Na2O": 1, "NaCl": 1})
    below, _ = above_phases(Phase("Na3OCl", {"Na": 3, "O": 1, "Cl": 1}, -19.5), references)
    assert below == pytest.approx(-0.1)
    assert above_phases(Phase("Na3PS4", {"Na": 3, "P": 1, "S": 4}, -40.0), references) is None
    assert above_phases(Phase("O-rich", {"Na": 1, "O": 1}, -9.0), references) is None
    with pytest.raises(InputError, match="holds no atoms"):
        above_phases(Phase("nothing", {}, 0.0), references)


@pytest.mark.parametrize("name", names())
def test_the_reference_phases_are_neutral_crystals_without_collisions(name):
    import re

    atoms = competing(re.findall(r"[A-Z][a-z]?", name))[name]
    wanted = {s: int(n or 1) for s, n in re.findall(r"([A-Z][a-z]?)(\d*)", name)}
    counts = {s: atoms.get_chemical_symbols().count(s) for s in wanted}
    units = counts[next(iter(wanted))] / wanted[next(iter(wanted))]
    assert counts == {s: n * units for s, n in wanted.items()}
    distances = atoms.repeat((2, 2, 2)).get_all_distances(mic=True)
    np.fill_diagonal(distances, 9)
    assert 1.5 < distances.min() < 3.9


def test_the_prototypes_compete_too():
    found = competing(["Na", "O", "Cl"])
    assert {"Na2O", "NaCl", "Na3OCl_Pm-3m"} <= set(found)
    assert "Na3OBr_Pm-3m" not in found


def test_the_dendrite_guide_is_twice_the_metal():
    assert 2 * METAL_SHEAR_GPA["Na"] == pytest.approx(6.6)
