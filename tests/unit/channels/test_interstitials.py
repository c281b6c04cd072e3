"""Cavities offered as sites of a further ion."""

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ionsieve.channels import describe, find_interstitials, read_framework
from ionsieve.channels.interstitials import Interstitial, _together
from ionsieve.generate import prototypes
from ionsieve.geometry.cells import minimum_image


def path_of(name):
    return Path(prototypes.load(name).location).with_suffix(".cif")


@pytest.fixture(scope="module")
def nasicon():
    return describe(Structure.from_file(path_of("NaZr2P3O12_R-3c")), "Na")


def test_the_empty_na2_site_of_nasicon_is_found(nasicon):
    cavities = find_interstitials(nasicon.framework)
    p = prototypes.load("NaZr2P3O12_R-3c")
    na2 = p.site("Na2").positions @ p.cell
    distances = [
        np.linalg.norm(
            ((c.positions[:, None] - na2) @ np.linalg.inv(p.cell) + 0.5) % 1 @ p.cell - 0.5 * p.cell.sum(axis=0), axis=2
        ).min()
        for c in cavities
    ]
    assert distances[0] < 0.4  # the widest is the site that further Na take in experiment
    widest = cavities[0]
    assert widest.ratio > 1
    assert len(widest.positions) == 18
    row = widest.as_mobile_site()
    # the row's coordinates lie on the symmetry element: the space group makes as many of them as the row says
    made = Structure.from_spacegroup("R-3c", Lattice(p.cell), ["Na"], [row["xyz"]], tol=0.05)
    assert len(made) == row["multiplicity"]
    assert row["occupancy"] == 0.0
    assert row["multiplicity"] == len(widest.positions)
    assert all(0 <= x < 1 for x in row["xyz"])


def test_known_sites_are_named_and_left_out(nasicon):
    all_of_them = find_interstitials(nasicon.framework, include_known=True)
    assert "Na1" in {c.on_site for c in all_of_them}
    assert not any(c.on_site for c in find_interstitials(nasicon.framework))


def test_full_antiperovskite_has_no_room_for_a_further_ion_between_its_own():
    framework = read_framework(Structure.from_file(path_of("Na3OCl_Pm-3m")), "Na")
    assert find_interstitials(framework, min_ratio=1.0) == ()


@pytest.mark.parametrize("taken", [0.25, 0.75])
def test_the_other_half_of_equivalent_tetrahedra_is_empty(taken):
    """Zinc blende: the framework alone is fcc, whose eight tetrahedra are alike; the ions fill four of them."""
    crystal = Structure.from_spacegroup("F-43m", Lattice.cubic(6.6), ["Na", "S"], [[taken] * 3, [0, 0, 0]])
    framework = read_framework(crystal, "Na", oxidation_states={"Na": 1, "S": -1})
    found = find_interstitials(framework, min_ratio=0.6)
    empty = [c for c in found if np.allclose(c.fractional % 0.5, 0.25, atol=0.01)]
    assert [len(c.positions) for c in empty] == [4]
    assert empty[0].nearest_site_A == pytest.approx(3.3, abs=0.02)
    assert all(c.nearest_site_A > 1 for c in found)
    (own,) = [c for c in find_interstitials(framework, min_ratio=0.6, include_known=True) if c.on_site]
    assert len(own.positions) == 4


@pytest.mark.parametrize(("name", "repeat"), [("Na3OCl_Pm-3m", 2), ("Na3PS4_I-43m", 1), ("Na3YCl6_P21n", 1)])
def test_the_place_of_a_missing_ion_is_found(name, repeat):
    crystal = Structure.from_file(path_of(name))
    crystal.make_supercell([repeat] * 3)
    missing = max(i for i, site in enumerate(crystal) if site.specie.symbol == "Na")
    spot = crystal[missing].coords
    crystal.remove_sites([missing])
    states = {"Na": 1, "O": -2, "Cl": -1, "P": 5, "S": -2, "Y": 3}
    framework = read_framework(crystal, "Na", oxidation_states={e.symbol: states[e.symbol] for e in crystal.elements})
    found = find_interstitials(framework)
    away = [np.linalg.norm(minimum_image(c.positions - spot, framework.cell), axis=1).min() for c in found]
    hit = found[int(np.argmin(away))]
    assert min(away) < 0.7
    assert hit.cavities == 1
    assert hit.nearest_site_A > 1


@pytest.mark.parametrize("name", ["Li2OHCl_P4mm_ordered", "Na3OBr_Pm-3m", "Li3OCl_Pm-3m", "Na3PS4_I-43m"])
def test_a_cavity_beside_a_symmetry_element_counts_once(name):
    framework = read_framework(Structure.from_file(path_of(name)), name[:2])
    for cavity in find_interstitials(framework, include_known=True):
        apart = minimum_image(cavity.positions[:, None] - cavity.positions, framework.cell)
        near = (np.linalg.norm(apart, axis=-1) < 0.9).sum(axis=1)
        assert (near == cavity.split).all()  # copies nearer than 0.9 Å are never counted as several cavities


def test_a_ring_around_an_axis_is_one_cavity_of_split_positions():
    """A narrow axis keeps the cavity off it: four positions, of which one ion has one."""
    angle = np.pi / 2 * np.arange(8)
    ring = np.stack([0.4 * np.cos(angle), 0.4 * np.sin(angle), 4.0 * (np.arange(8) // 4)], axis=1)
    cavity = Interstitial("i1", "", np.zeros(3), ring, 1.0, 1.0, 2.0, split=_together(ring, 8.0 * np.eye(3), 0.9))
    assert (cavity.split, cavity.cavities) == (4, 2)
    row = cavity.as_mobile_site()
    assert row["multiplicity"] == 8
    assert row["note"].endswith("one ion for every 4 positions")
