"""Bond-valence landscape: the sum by hand, parameters, barriers and path."""

import math
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.special import erfc

from ionsieve.channels import ChannelSettings, describe, read_framework
from ionsieve.channels.bvse import landscape, missing_pairs
from ionsieve.channels.bvse_parameters import covalent_radius_A, morse, principal_quantum_number
from ionsieve.channels.saddles import stationary
from ionsieve.channels.site_energy import SiteEnergy
from ionsieve.errors import InputError
from ionsieve.generate import prototypes


def framework(name, mobile="Na"):
    return read_framework(Structure.from_file(Path(prototypes.load(name).location).with_suffix(".cif")), mobile)


def test_published_depths_follow_from_the_formula():
    # D0 of the softBV table
    for pair, depth in {("Na", "O", 1, -2): 0.575227, ("Li", "S", 1, -2): 1.04027, ("Mg", "O", 2, -2): 1.575539,
                        ("K", "I", 1, -1): 0.190106}.items():  # fmt: skip
        assert morse(*pair)[2] == pytest.approx(depth, rel=1e-3)


def test_unknown_pairs_have_no_parameters():
    assert morse("Na", "H", 1, -1) is None
    assert morse("Mg", "Se", 2, -2) is None
    assert morse("Na", "O", 2, -2) is None
    assert morse("Fe", "O", 2, -2) is None


def test_quantum_numbers_and_radii():
    assert [principal_quantum_number(z) for z in (1, 3, 11, 19, 53, 57)] == [1, 2, 3, 4, 5, 6]
    assert covalent_radius_A("Zr") == 1.41
    assert covalent_radius_A("La") == pytest.approx(2.07, abs=0.01)


def test_the_grid_holds_the_sum_over_ions():
    f = framework("Na3PS4_P-421c")
    field = landscape(f, ChannelSettings(bvse_spacing_A=0.5), path=False)
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3) @ f.cell
    copies = (f.positions[:, None] + shifts).reshape(-1, 3)
    kinds = np.repeat(np.array(f.symbols), len(shifts))
    r_min, alpha, depth = morse("Na", "S", 1, -2)
    shape = np.array(field.energy_eV.shape)
    rng = np.random.default_rng(0)
    seen = 0
    for index in rng.integers(0, shape, (25, 3)):
        r = np.linalg.norm(copies - (index / shape) @ f.cell, axis=1)
        s, p = r[(kinds == "S") & (r < 10)], r[(kinds == "P") & (r < 10)]
        if min(s.min(), p.min()) < 1.7:
            continue
        energy = (0.5 * depth * ((np.exp(alpha * (r_min - s)) - 1) ** 2 - 1)).sum()
        energy += (14.4 * 5 / 3 / p * erfc(p / (0.74 * (1.66 + 1.10)))).sum()
        assert field.energy_eV[tuple(index)] == pytest.approx(energy, abs=8e-3, rel=1e-3)
        seen += 1
    assert seen > 5


def test_path_leads_from_a_minimum_to_its_image_below_the_barrier():
    f = framework("Na3OCl_Pm-3m")
    field = landscape(f)
    step = (field.path_A[-1] - field.path_A[0]) @ np.linalg.inv(f.cell)
    np.testing.assert_allclose(step, np.round(step), atol=1e-9)
    assert np.abs(step).max() >= 1
    gaps = np.linalg.norm(np.diff(field.path_A, axis=0), axis=1)
    assert gaps.max() < 0.2 * math.sqrt(3) + 1e-6
    index = np.round(field.path_A @ np.linalg.inv(f.cell) * field.energy_eV.shape).astype(int) % field.energy_eV.shape
    along = field.energy_eV[tuple(index.T)] - field.energy_eV.min()
    assert along.max() == pytest.approx(field.grid_barriers_eV[0], abs=1e-6)


@pytest.mark.parametrize("name", ["Na3OCl_Pm-3m", "Na3PS4_P-421c", "NaAlCl4_P212121"])
def test_barriers_depend_neither_on_the_grid_nor_on_cell_and_origin(name):
    crystal = Structure.from_file(Path(prototypes.load(name).location).with_suffix(".cif"))
    given = read_framework(crystal, "Na")
    reference = landscape(given, path=False).barriers_eV
    moved, doubled = crystal.copy(), crystal.copy()
    moved.translate_sites(range(len(moved)), [0.013, 0.031, 0.007])
    doubled.make_supercell([2, 1, 1])
    for framework, spacing_A in ((given, 0.13), (given, 0.25), (read_framework(moved, "Na"), 0.2),
                                 (read_framework(doubled, "Na"), 0.2)):  # fmt: skip
        other = landscape(framework, ChannelSettings(bvse_spacing_A=spacing_A), path=False)
        np.testing.assert_allclose(other.barriers_eV, reference, atol=2e-3)
        np.testing.assert_allclose(other.grid_barriers_eV, reference, atol=0.08)


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_barriers_of_crystals_without_symmetry_depend_on_no_grid(seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(4.5, 7.0, 3), *rng.uniform(65, 115, 3))
    places = [rng.random(3)]
    for _ in range(2000):
        place = rng.random(3)
        if len(places) < 7 and all(lattice.get_distance_and_image(place, p)[0] > 2.2 for p in places):
            places.append(place)
    assert len(places) > 3
    crystal = Structure(lattice, ["Na", "P", *["S"] * (len(places) - 2)], places)
    f = read_framework(crystal, "Na", oxidation_states={"Na": 1, "P": 5, "S": -2})
    coarse, fine = (landscape(f, ChannelSettings(bvse_spacing_A=s), path=False).barriers_eV for s in (0.22, 0.14))
    for a, b in zip(coarse, fine, strict=True):
        assert a == (None if b is None else pytest.approx(b, abs=3e-3))


def test_energy_gradient_and_curvature_belong_together():
    f = framework("Na3PS4_P-421c")
    energy = SiteEnergy(f, 10.0)
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 2, (40, 3)) @ f.cell
    points = points[energy.at(points)[0] < 3.0][:8]
    value, gradient, curvature = energy.at(points)
    h, compared = 1e-4, 0
    for axis, step in enumerate(h * np.eye(3)):
        (above, steeper, _), (below, flatter, _) = energy.at(points + step), energy.at(points - step)
        same = np.abs(above - 2 * value + below) < 2e-6  # no ion enters or leaves its reach within the step
        compared += same.sum()
        np.testing.assert_allclose((above - below)[same] / (2 * h), gradient[same, axis], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose((steeper - flatter)[same] / (2 * h), curvature[same, axis], rtol=1e-4, atol=1e-3)
    assert compared > 15


def test_the_field_at_a_point_is_that_of_the_grid():
    f = framework("Na3OCl_Pm-3m")
    energy = SiteEnergy(f, 10.0)
    field = energy.on_grid((9, 10, 11))
    index = np.argwhere(field < 5.0)
    points = index / np.array(field.shape) @ f.cell
    np.testing.assert_allclose(energy.at(points)[0], field[tuple(index.T)], rtol=1e-3, atol=2e-3)


def test_stationary_points_are_those_of_the_order_asked_for():
    f = framework("Na3OCl_Pm-3m")
    energy = SiteEnergy(f, 10.0)
    field = energy.on_grid((90, 90, 90))  # 0.05 Å
    lowest = np.argmin(field)
    start = np.stack(np.unravel_index([lowest], field.shape), axis=1) / 90 @ f.cell
    bottom, low, found = stationary(energy, start + 0.15, 0, reach_A=0.5)
    assert found.all()
    assert field.min() - 0.01 < low[0] <= field.min() + 1e-3
    np.testing.assert_allclose(bottom, start, atol=0.05)
    top, high, found = stationary(energy, 0.25 * f.cell[:1] + 0.25 * f.cell[1:2] + 0.1, 1, reach_A=1.0)
    assert found.all()
    _, gradient, curvature = energy.at(top)
    assert np.abs(gradient).max() < 1e-2
    assert (np.linalg.eigvalsh(curvature)[0] < 0).sum() == 1
    assert high[0] - low[0] == pytest.approx(landscape(f, path=False).barriers_eV[0], abs=1e-4)
    assert not stationary(energy, start + 0.5, 0, reach_A=0.2)[2].any()  # too far away


def test_disorder_of_the_framework_is_averaged():
    """Half an ion on each of two sites gives the mean of the two ordered crystals, field for field."""
    cell = Lattice.cubic(6.0)
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.1], [0.25, 0.25, 0.25]]
    charges = {"Na": 1, "S": -2, "Cl": -1}

    def field(third, fourth):
        crystal = Structure(cell, ["Na", "S", third, fourth], places)
        return landscape(read_framework(crystal, "Na", oxidation_states=charges), path=False).energy_eV

    mixed = field({"S": 0.5, "Cl": 0.5}, {"Cl": 0.5})
    full, empty = field("S", "Cl"), field("Cl", {"Cl": 1e-6})
    below = mixed < 50
    np.testing.assert_allclose(mixed[below], 0.5 * (full + empty)[below], rtol=2e-3, atol=2e-3)


def test_missing_pairs_are_refused_by_name():
    f = framework("MgSc2Se4_Fd-3m", "Mg")
    assert missing_pairs(f) == ("Mg+2 Se-2",)
    with pytest.raises(InputError, match=r"Mg\+2 Se-2"):
        landscape(f)


def test_describe_carries_the_barriers_into_the_record():
    crystal = Structure.from_file(Path(prototypes.load("Na3OCl_Pm-3m").location).with_suffix(".cif"))
    found = describe(crystal, "Na", settings=ChannelSettings(bvse=True))
    assert found.record("x").bvse_barriers_eV == found.bvse_barriers_eV
    assert 0.2 < found.bvse_barriers_eV[2] < 0.6
