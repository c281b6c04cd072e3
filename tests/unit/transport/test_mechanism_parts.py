"""Sites, jumps, van Hove, density and its files, polyanions, equilibration: each against a direct count."""

import numpy as np
import pytest

from ionsieve.transport.grids import write_chgcar, write_cube, write_xsf
from ionsieve.transport.integrity import (
    block_drift,
    equilibration_frame,
    lindemann,
    polyanion_intact,
)
from ionsieve.transport.kernels.histograms import density, non_gaussian, van_hove_distinct, van_hove_self
from ionsieve.transport.mechanism import jump_table, rotation
from ionsieve.transport.sites import assign, count_jumps, displacement_hops, jump_length, remove_blips

FCC = 8.0 * np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


@pytest.fixture(params=["numpy", "torch", "array_api_strict"])
def to(request):
    if request.param == "numpy":
        return np.asarray
    if request.param == "torch":
        import torch

        return lambda x: torch.as_tensor(np.asarray(x))
    return pytest.importorskip("array_api_strict").asarray


def test_assignment_uses_the_minimum_image_in_a_skewed_cell():
    sites = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    ion = np.array([[[0.0, 0.0, 0.0]], [[4.0, 4.0, 0.2]], [[6.1, 5.9, 2.0]], [[-2.0, -2.0, 2.0]]])
    brute = []
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3) @ FCC
    for frame in ion:
        d = [np.linalg.norm(frame[0] + shifts - s, axis=1).min() for s in sites]
        brute.append(int(np.argmin(d)))
    assert assign(ion, sites, FCC, hysteresis=1.0)[:, 0].tolist() == brute


def test_hysteresis_keeps_a_rattler_on_its_site():
    sites = np.array([[0.0, 0, 0], [3.0, 0, 0]])
    x = 1.5 + 0.2 * np.sin(np.arange(200))
    path = np.zeros((201, 1, 3))
    path[1:, 0, 0] = x
    cell = np.eye(3) * 30
    assert count_jumps(assign(path, sites, cell, hysteresis=1.0)) > 30
    assert count_jumps(assign(path, sites, cell, hysteresis=0.6)) == 0
    path[100:, 0, 0] = 3.0
    assert count_jumps(assign(path, sites, cell, hysteresis=0.6)) == 1


def test_blips_are_undone_and_real_jumps_kept():
    path = np.array([0, 0, 1, 0, 0, 1, 1, 1, 2, 1, 0, 0])[:, None]
    assert remove_blips(path, 2)[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert remove_blips(path, 1) is path


def test_jump_table_is_ordered_and_complete():
    path = np.array([[0, 5], [0, 6], [1, 6], [1, 5]])
    assert jump_table(path).tolist() == [[1, 1, 5, 6], [2, 0, 0, 1], [3, 1, 6, 5]]


def test_jump_length_skips_split_sites():
    sites = np.array([[0.0, 0, 0], [0.8, 0, 0], [4.0, 0, 0], [4.8, 0, 0]])
    assert jump_length(sites, np.eye(3) * 40.0) == pytest.approx(3.6)  # 3.2 and 4.0 from either half
    assert jump_length(sites[:1], np.eye(3) * 40.0) is None


def test_displacement_hops_count_what_rattling_does_not():
    rng = np.random.default_rng(0)
    path = 0.3 * rng.normal(size=(900, 4, 3))
    assert displacement_hops(path, jump_length_A=3.0, smooth_frames=10) == 0
    path[300:, 0, 0] += 3.0
    path[600:, 1, 1] -= 3.0
    assert displacement_hops(path, jump_length_A=3.0, smooth_frames=10) == 2


def test_van_hove_self_is_normalised_and_gaussian_for_free_diffusion(to):
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(3000, 20, 3)), axis=0)
    r, g = van_hove_self(to(x), 4, bins=200, largest_A=16.0)
    width = r[1] - r[0]
    assert (4 * np.pi * r**2 * g * width).sum() == pytest.approx(1.0, abs=5e-3)
    expected = np.exp(-(r**2) / 8.0) / (8.0 * np.pi) ** 1.5
    np.testing.assert_allclose(g[20:60], expected[20:60], rtol=0.15)
    assert abs(non_gaussian(to(x), [4])[0]) < 0.03


def test_van_hove_distinct_is_one_for_an_ideal_gas(to):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 12, size=(40, 60, 3))
    _, g = van_hove_distinct(to(x), to(np.eye(3) * 12.0), 0, bins=20, largest_A=6.0)
    np.testing.assert_allclose(g[6:], 1.0, atol=0.12)


def test_non_gaussian_parameter_of_one_jump_length():
    """|dr| is 0 or a with probability p: alpha2 = 3 / (5 p) - 1."""
    rng = np.random.default_rng(1)
    jumps = (rng.random(size=(4000, 30)) < 0.1)[:, :, None] * np.array([3.0, 0.0, 0.0])
    x = np.cumsum(jumps * rng.choice([-1.0, 1.0], size=(4000, 30, 1)), axis=0)
    assert non_gaussian(x, [1])[0] == pytest.approx(3 / (5 * 0.1) - 1, rel=0.03)


def test_density_counts_ions_and_wraps(to):
    x = np.array([[[0.1, 0.1, 0.1], [3.9, 0.1, 0.1]], [[-3.9, 4.1, 8.1], [3.9, 0.1, 0.1]]])
    rho = density(to(x), to(np.eye(3) * 4.0), spacing_A=1.0)
    assert rho.shape == (4, 4, 4)
    assert rho.sum() * 1.0 == pytest.approx(2.0)
    assert rho[0, 0, 0] == pytest.approx(1.0)
    assert rho[3, 0, 0] == pytest.approx(1.0)


def test_density_files_come_back(tmp_path):
    from ase.io.cube import read_cube_data
    from pymatgen.io.vasp import Chgcar

    rng = np.random.default_rng(0)
    rho = rng.random((4, 5, 6))
    cell = FCC
    places = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    data, atoms = read_cube_data(str(write_cube(tmp_path / "d.cube", rho, cell, [8, 15], places)))
    np.testing.assert_allclose(data, rho, rtol=1e-4)
    np.testing.assert_allclose(atoms.cell.array, cell, rtol=1e-4)
    chg = Chgcar.from_file(str(write_chgcar(tmp_path / "CHGCAR", rho, cell, ["P", "O"], places)))
    np.testing.assert_allclose(chg.data["total"] / abs(np.linalg.det(cell)), rho, rtol=1e-8)
    text = write_xsf(tmp_path / "d.xsf", rho, cell, [8, 15], places).read_text(encoding="ascii")
    grid = text.split("BEGIN_DATAGRID_3D_density\n")[1].split("END_DATAGRID")[0].split()
    assert [int(n) for n in grid[:3]] == [5, 6, 7]
    values = np.array(grid[15:], dtype=float).reshape(7, 6, 5).transpose(2, 1, 0)
    np.testing.assert_allclose(values[:-1, :-1, :-1], rho, rtol=1e-4)
    np.testing.assert_allclose(values[-1, :-1, :-1], rho[0], rtol=1e-4)


def test_lindemann_of_an_einstein_crystal():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.0
    x = grid + 0.1 * rng.normal(size=(400, 64, 3))
    assert lindemann(x, np.eye(3) * 12.0) == pytest.approx(0.1 * np.sqrt(3) / 3.0, rel=0.02)
    assert lindemann(x[:4], np.eye(3) * 12.0) is None


def test_polyanion_connectivity_has_hysteresis():
    frames = 100
    bond = np.full(frames, 2.0)
    bond[40:50] = 2.6  # stretched, below 1.35 times: whole
    bond[60:70] = 2.8  # broken
    bond[70:75] = 2.5  # between 1.2 and 1.35: still broken
    x = np.zeros((frames, 2, 3))
    x[:, 1, 0] = bond
    intact, bonds, open_at_end = polyanion_intact(x, np.eye(3) * 20, ["P", "S"], [("P", "S", 2.3)])
    assert (intact, bonds, open_at_end) == (pytest.approx(0.85), 1, 0)
    assert polyanion_intact(x, np.eye(3) * 20, ["P", "S"], [("P", "O", 2.3)]) is None


def test_rotation_of_a_turning_rotor():
    """u turns in a plane at a fixed rate: C1 = cos(w t), C2 = (3 cos² - 1) / 2."""
    frames, w = 400, 0.05
    angle = w * np.arange(frames)
    x = np.zeros((frames, 2, 3))
    x[:, 1] = 2.0 * np.stack([np.cos(angle), np.sin(angle), np.zeros(frames)], axis=1)
    result = rotation(x, np.eye(3) * 15, ["P", "S"], [("P", "S", 2.3)], dt_ps=0.1)["P-S"]
    t = np.array(result["lag_ps"]) / 0.1
    np.testing.assert_allclose(result["c1"], np.cos(w * t), atol=1e-9)
    np.testing.assert_allclose(result["c2"], (3 * np.cos(w * t) ** 2 - 1) / 2, atol=1e-9)
    assert result["relaxation_ps"] == pytest.approx(np.arccos(np.exp(-1)) / w * 0.1, rel=0.03)


def test_drift_of_blocks():
    rng = np.random.default_rng(0)
    t = np.arange(1000) * 0.05
    slope, error = block_drift(0.3 * t + rng.normal(size=1000), t)
    assert slope == pytest.approx(0.3, abs=3 * error)
    assert 0.0 < error < 0.02
    assert block_drift(t[:10], t[:10]) is None


def test_equilibration_is_found_where_the_relaxation_ends():
    rng = np.random.default_rng(0)
    n = 2000
    noise = rng.normal(size=n)
    assert equilibration_frame(noise) <= 0.2 * n
    relaxing = noise + 40.0 * np.exp(-np.arange(n) / 80.0)
    assert 150 <= equilibration_frame(relaxing) <= 800
