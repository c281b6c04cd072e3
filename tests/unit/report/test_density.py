"""The ion density of the 3D view: counts where the ions were, in the frame of the framework."""

import numpy as np
import pytest

from ionsieve.records import CrystalStructure
from ionsieve.report.density import density_of, from_trajectory
from ionsieve.trajectory import h5md


def test_the_densest_cells_are_where_the_ions_were():
    rng = np.random.default_rng(0)
    places = np.array([[0.25, 0.25, 0.25], [0.75, 0.5, 0.5]])
    cloud = places[rng.integers(0, 2, 5000)] + rng.normal(0, 0.02, (5000, 3))
    found = density_of(cloud, np.eye(3) * 12.0, temperature_K=900.0)
    points = np.array(found.points)
    nearest = np.linalg.norm(points[:, None] - places[None], axis=2).min(axis=1)
    assert np.all(nearest < 0.12)
    assert found.grid == (20, 20, 20)
    assert found.fraction >= 0.9
    assert max(found.weights) == 1.0
    assert list(found.weights) == sorted(found.weights, reverse=True)


def test_drift_of_the_whole_and_a_breathing_cell_do_not_smear_the_density(tmp_path):
    symbols = ("Na", "Cl", "Cl", "Cl")
    home = np.array([[0.14, 0.14, 0.14], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    reference = CrystalStructure(
        lattice_A=((6.0, 0.0, 0.0), (0.0, 6.0, 0.0), (1.0, 0.0, 6.0)),
        symbols=symbols,
        positions_A=tuple(map(tuple, home @ np.array([[6.0, 0, 0], [0, 6, 0], [1, 0, 6]]))),
    )
    frames = 50
    scale = 1 + 0.02 * np.sin(np.arange(frames))
    cells = np.array(reference.lattice_A)[None] * scale[:, None, None]
    drift = np.linspace(0, 4.0, frames)[:, None, None] * np.array([1.0, 0.3, 0.0])  # several Å, across the boundary
    positions = np.einsum("nk,fkj->fnj", home + np.array([0, 1, 0]), cells) + drift
    path = tmp_path / "run.h5"
    h5md.write(
        path,
        h5md.Trajectory(
            positions=positions,
            cells=cells,
            times_ps=np.arange(frames) * 0.1,
            steps=np.arange(frames),
            numbers=np.array([11, 17, 17, 17]),
        ),
    )
    found = from_trajectory(path, reference, mobile="Na", temperature_K=800.0)
    assert found is not None
    assert len(found.points) == 1  # one ion that does not move relative to the framework
    assert np.array(found.points[0]) == pytest.approx(home[0], abs=0.06)
    other = reference.model_copy(update={"symbols": ("Cl", "Na", "Cl", "Cl")})
    assert from_trajectory(path, other, mobile="Na", temperature_K=800.0) is None
