"""The Ewald matrix and the energies of orderings against closed forms and an independent code."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation

from ionsieve.generate import GenerateSettings, configure, expand
from ionsieve.generate.ewald import COULOMB_EV_A, ewald_matrix
from ionsieve.rng import generator


def madelung(fractional: list, charges: list, cell: np.ndarray, nearest_A: float) -> float:
    """Energy of one ion pair in units of e²/(4πε0 r) for two ions a formula."""
    q = np.array(charges, dtype=float)
    matrix = ewald_matrix(np.array(fractional, dtype=float), cell)
    return float(-0.5 * q @ matrix @ q / COULOMB_EV_A * nearest_A * 2 / len(q))


def test_madelung_constants() -> None:
    face = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    salt = face + [[x + 0.5, y, z] for x, y, z in face]
    assert madelung(salt, [1] * 4 + [-1] * 4, np.eye(3) * 5.64, 2.82) == pytest.approx(1.7475645946332, abs=1e-9)
    assert madelung([[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], np.eye(3) * 4.0, 2 * 3**0.5) == pytest.approx(
        1.76267477307099, abs=1e-9
    )
    blende = face + [[x + 0.25, y + 0.25, z + 0.25] for x, y, z in face]
    assert madelung(blende, [1] * 4 + [-1] * 4, np.eye(3) * 5.4, 5.4 * 3**0.5 / 4) == pytest.approx(
        1.63805505338879, abs=1e-9
    )


def test_the_matrix_does_not_depend_on_the_splitting() -> None:
    stream = generator("test", "ewald")
    cell = np.array([[6.0, 0, 0], [1.5, 7, 0], [-2.0, 1.0, 5.5]])
    points = stream.random((12, 3))
    q = stream.standard_normal(12)
    q -= q.mean()
    energies = [0.5 * q @ ewald_matrix(points, cell, alpha=a) @ q for a in (0.25, 0.4, 0.7)]
    assert np.ptp(energies) < 1e-7
    matrix = ewald_matrix(points, cell)
    assert (matrix == matrix.T).all()


@pytest.mark.parametrize(
    "recipe",
    [
        {"prototype": "Na3Zr2Si2PO12_R-3c", "supercell": {"matrix": [1, 1, 1], "of": "primitive"}},
        {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}},
        "Li10GeP2S12",
        "Na3YCl6",
    ],
)
def test_the_energy_of_a_configuration_is_that_of_an_independent_code(recipe: object) -> None:
    settings = GenerateSettings.model_validate({"recipes": [recipe], "ordering": {"n_configurations": 2, "chains": 16}})
    (candidate,) = expand(settings)
    for k in configure(candidate, settings, seed=0)[1]:
        theirs = EwaldSummation(k.structure.to_pymatgen(), acc_factor=14).total_energy
        assert k.ewald_energy_eV == pytest.approx(theirs, abs=2e-5)
