"""Gates between named sites: the constructions that each family is known for."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser

from ionsieve.channels import ChannelSettings, clearance, describe, find_gates, judge, read_framework
from ionsieve.channels.bottlenecks import polygon_area_A2
from ionsieve.channels.gates import find_jumps, percolating_jumps
from ionsieve.channels.percolation import percolate
from ionsieve.generate import prototypes
from ionsieve.verdicts import Flag, Outcome


def channels(name, **kwargs):
    p = prototypes.load(name)
    parsed = CifParser(Path(p.location).with_suffix(".cif"), occupancy_tolerance=1.01, site_tolerance=1e-4)
    sites = [s for s in p.sites if s.mobile]
    return describe(
        parsed.parse_structures(primitive=False, on_error="ignore")[0],
        p.mobile_ion,
        mobile_sites_A=np.concatenate([s.positions for s in sites]) @ p.cell,
        mobile_site_labels=[s.label for s in sites for _ in s.positions],
        **kwargs,
    )


def test_nasicon_has_two_triangles_of_oxygen_between_na1_and_na2():
    found = channels("NaZr2P3O12_R-3c")
    gates = {g.jump: g for g in found.gates if g.jump.startswith("Na1-Na2")}
    assert set(gates) == {"Na1-Na2 gate 1", "Na1-Na2 gate 2"}
    first, second = gates["Na1-Na2 gate 1"], gates["Na1-Na2 gate 2"]
    assert first.anions == ("O2", "O2", "O2")
    assert second.anions == ("O1", "O2", "O2")
    assert first.area_A2 == pytest.approx(5.548, rel=5e-3)
    assert second.area_A2 == pytest.approx(5.258, rel=5e-3)
    assert (first.path_fraction, second.path_fraction) == (pytest.approx(0.37, abs=0.01), pytest.approx(0.60, abs=0.01))
    assert first.multiplicity == second.multiplicity == 36
    assert first.percolating
    assert second.percolating
    # the narrower one is the free sphere of the whole framework
    assert 2 * second.free_radius_A == pytest.approx(1.619, rel=5e-3)
    assert found.free_sphere_A == pytest.approx(1.619, rel=5e-3)


def test_nasicon_triangles_follow_the_oxygens():
    """The published 5.548 and 5.258 Å² belong to oxygens 0.013 and 0.007 Å from those of the library (5.571, 5.278).

    These coordinates also give the bond lengths that go with the published areas: Zr-O 2.048 and 2.085, P-O 1.514 and
    1.547, Na1-O 2.534 Å.
    """
    lattice = Lattice.hexagonal(8.8043, 22.7585)
    species = ["Na+", "Zr4+", "P5+", "O2-", "O2-"]
    places = [[0, 0, 0], [0, 0, 0.1456], [0.2909, 0, 0.25], [0.1852, 0.9844, 0.1956], [0.1917, 0.1680, 0.0866]]
    structure = Structure.from_spacegroup("R-3c", lattice, species, places, tol=1e-3)
    p = prototypes.load("NaZr2P3O12_R-3c")
    sites = [s for s in p.sites if s.mobile]
    found = describe(
        structure,
        "Na",
        mobile_sites_A=np.concatenate([s.positions for s in sites]) @ p.cell,
        mobile_site_labels=[s.label for s in sites for _ in s.positions],
    )
    areas = sorted(g.area_A2 for g in found.gates if g.jump.startswith("Na1-Na2"))
    np.testing.assert_allclose(areas, [5.258, 5.548], rtol=1e-3)
    assert found.free_sphere_A == pytest.approx(1.619, abs=2e-3)
    assert found.limiting_gate_A == pytest.approx(found.percolation_radius_A[0], abs=1e-3)
    assert found.radii_A == {"O-2": pytest.approx(1.40), "P+5": pytest.approx(0.17), "Zr+4": pytest.approx(0.72)}


@pytest.mark.parametrize(("name", "a", "r_x"), [("Na3OCl_Pm-3m", 4.496, 1.81), ("Na3OBr_Pm-3m", 4.564, 1.96)])
def test_antiperovskite_has_the_triangle_of_one_oxygen_and_two_halides(name, a, r_x):
    (gate,) = channels(name).gates
    assert sorted(x[0] for x in gate.anions) == ["B" if "Br" in name else "C"] * 2 + ["O"]
    assert gate.area_A2 == pytest.approx(a * a / np.sqrt(2) / 2, rel=1e-6)
    assert gate.jump_length_A == pytest.approx(a / np.sqrt(2))
    assert gate.path_fraction == pytest.approx(0.5)
    assert gate.multiplicity == 12
    # the sphere in the plane x = y touches O at the origin and both X: solve for it along the diagonal
    t = np.linspace(0.2, 0.9, 200001) * a / np.sqrt(2)
    clear = np.minimum(t - 1.40, np.hypot(a / np.sqrt(2) - t, a / 2) - r_x).max()
    assert gate.free_radius_A == pytest.approx(clear, abs=1e-4)


def test_thiophosphate_has_a_triangle_of_sulphur():
    found = channels("Na3PS4_I-43m")
    (gate,) = found.gates
    assert gate.anions == ("S1", "S1", "S1")
    assert gate.jump == "Na1-Na2"
    assert 2 * gate.free_radius_A == pytest.approx(found.free_sphere_A, abs=1e-3)


def test_garnet_passes_the_face_between_tetrahedron_and_octahedron():
    (gate,) = channels("Li7La3Zr2O12_Ia-3d").gates
    assert gate.anions == ("O1", "O1", "O1")
    assert gate.multiplicity == 96


def test_spinel_passes_the_face_between_tetrahedron_and_octahedron():
    gate = next(g for g in channels("MgSc2Se4_Fd-3m").gates if g.percolating)
    assert gate.anions == ("Se1", "Se1", "Se1")
    assert gate.multiplicity == 32
    assert gate.jump_length_A == pytest.approx(np.sqrt(3) / 8 * 11.11, rel=1e-3)


def test_gates_of_a_doped_type_are_told_apart_by_their_elements():
    crystal = Structure.from_file(Path(prototypes.load("Na3PS4_I-43m").location).with_suffix(".cif"))
    crystal.replace(next(i for i, s in enumerate(crystal) if s.specie.symbol == "S"), "Cl-")
    p = prototypes.load("Na3PS4_I-43m")
    sites = [s for s in p.sites if s.mobile]
    found = describe(
        crystal,
        "Na",
        mobile_sites_A=np.concatenate([s.positions for s in sites]) @ p.cell,
        mobile_site_labels=[s.label for s in sites for _ in s.positions],
    )
    assert set(found.gate_set.kinds) >= {"Na1-Na2 (Cl-S-S)", "Na1-Na2 (S-S-S)"}


def test_layered_conductors_percolate_in_two_dimensions():
    for name in ("Na1.67Mg0.67Al10.33O17_R-3m", "Na2Zn2TeO6_P6322"):
        found = channels(name)
        assert found.percolation_axes == (True, True, False)
        assert found.percolation_radius_A[1] > 2 * found.percolation_radius_A[2]


@pytest.mark.parametrize("name", prototypes.names())
def test_no_known_conductor_of_the_library_is_sieved_out(name):
    found = channels(name)
    outcome, reason, _ = judge(found)
    assert outcome is Outcome.COMPLETED, reason
    assert found.gates
    assert found.limiting_gate_A is not None
    # a way over named sites cannot be wider than the widest of all ways (H+ narrows the free space, but is no anion)
    assert found.limiting_gate_A <= found.percolation_radius_A[0] + 2e-3
    assert any(g.percolating for g in found.gates)
    assert found.free_sphere_A <= found.included_along_free_A + 1e-9 <= found.included_sphere_A + 2e-9
    # the record goes to JSON and back
    record = found.record(name, outcome=outcome, reason=reason)
    assert type(record).from_json(record.to_json()) == record


def test_gate_positions_lie_in_their_triangle_and_images_are_consistent():
    framework = read_framework(
        Structure.from_file(Path(prototypes.load("Na3PS4_P-421c").location).with_suffix(".cif")), "Na"
    )
    gates = find_gates(framework)
    corners = gates.reference[gates.atoms] + gates.images @ gates.cell
    np.testing.assert_allclose(
        np.linalg.norm(gates.centre[:, None] - corners, axis=2) - gates.radii,
        gates.free_radius[:, None] * np.ones(3),
        atol=1e-6,
    )
    start = framework.sites[gates.jumps.sites[gates.jump, 0]]
    end = framework.sites[gates.jumps.sites[gates.jump, 1]] + gates.jumps.images[gates.jump] @ gates.cell
    along = np.linalg.norm(end - start, axis=1)
    np.testing.assert_allclose(along, gates.jumps.lengths[gates.jump], atol=1e-6)
    assert np.linalg.norm(gates.centre - 0.5 * (start + end), axis=1).max() < 3.0


def test_jumps_of_a_square_of_sites_leave_out_the_diagonals():
    sites = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 0]])
    jumps = find_jumps(sites, np.diag([6.0, 6.0, 30.0]), max_length_A=5.0)
    np.testing.assert_allclose(jumps.lengths, 3.0)
    assert len(jumps.lengths) == 8


@pytest.mark.parametrize("name", ["Na2Zn2TeO6_P6322", "Na1.67Mg0.67Al10.33O17_R-3m", "Na3OCl_Pm-3m"])
def test_split_sites_do_not_close_a_conductor(name):
    """Every site doubled across its jumps, by a thermal amplitude: each twin once took the jumps of the other."""
    whole = channels(name).framework
    limit = percolating_jumps(find_gates(whole), len(whole.sites))[0]
    for apart in ((0, 0, 0.03), (0, 0, 0.06), (0, 0, 0.1), (0, 0, 0.2), (0.04, -0.1, 0.05)):
        sites = np.concatenate([whole.sites + apart, whole.sites - apart])
        split = dataclasses.replace(whole, sites=sites, labels=whole.labels * 2)
        assert percolating_jumps(find_gates(split), len(sites))[0] == pytest.approx(limit, abs=0.03)


def test_what_is_left_out_of_the_jumps_is_replaced_by_shorter_ones():
    """Random sites, twins among them: what is joined within reach by any steps is joined by the jumps."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        sites = rng.uniform(0, 9, (12, 3))
        sites = np.concatenate([sites, sites + rng.normal(0, 0.06, sites.shape)])
        jumps = find_jumps(sites, np.eye(3) * 9.0, max_length_A=4.5)
        reach = max(4.5, jumps.lengths.max())
        apart = sites[None] - sites[:, None]
        vectors = apart[..., None, :] + 9.0 * np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        pairs = np.argwhere(np.linalg.norm(vectors, axis=-1) < reach)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3)))[pairs[:, 2]]
        every = percolate(24, pairs[:, :2], shifts, np.ones(len(pairs)))
        kept = percolate(24, jumps.sites, jumps.images, np.ones(len(jumps.sites)))
        assert [m.tolist() for m in kept.members] == [m.tolist() for m in every.members]


def test_a_site_given_twice_is_one():
    crystal = Structure(Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    once, twice = (describe(crystal, "Na", mobile_sites_A=[[0, 0, 0]] * n).limiting_gate_A for n in (1, 2))
    assert once == pytest.approx(2.150, abs=1e-3)
    assert twice == once


def test_jumps_reach_farther_when_the_sites_are_far_apart():
    jumps = find_jumps(np.array([[0.0, 0, 0]]), np.eye(3) * 6.5, max_length_A=5.0)
    np.testing.assert_allclose(jumps.lengths, 6.5)
    assert len(jumps.lengths) == 3


def test_every_bottleneck_on_the_percolating_paths_is_listed():
    found = channels("NaZr2P3O12_R-3c")
    narrowest = found.bottlenecks[0]
    assert 2 * narrowest.radius_A == pytest.approx(found.free_sphere_A, abs=4e-3)
    by_atoms = {(b.atoms, round(b.area_A2, 1)): b for b in found.bottlenecks}
    second, first = by_atoms[("O1", "O2", "O2"), 5.3], by_atoms[("O2", "O2", "O2"), 5.6]
    assert second.area_A2 == pytest.approx(5.258, rel=5e-3)
    assert first.area_A2 == pytest.approx(5.548, rel=5e-3)
    assert first.multiplicity == second.multiplicity == 36
    spot = clearance([narrowest.position_A], found.framework.positions, found.framework.cell, found.framework.radii)
    assert spot[0] == pytest.approx(narrowest.radius_A, abs=2e-3)


def test_spinel_has_one_kind_of_bottleneck():
    (only,) = channels("MgSc2Se4_Fd-3m").bottlenecks
    assert only.atoms == ("Se1", "Se1", "Se1")
    assert only.multiplicity == 32


@pytest.mark.parametrize("origin", [0.0, 0.13, 0.487, -0.2051])
@pytest.mark.parametrize("a", [4.0, 4.1, 4.5])
def test_equal_squares_are_one_bottleneck_of_four_corners_whatever_the_cell(a, origin):
    crystal = Structure(Lattice.cubic(a), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    crystal.translate_sites([0, 1], [origin, 2 * origin, -origin], to_unit_cell=False)
    (window,) = describe(crystal, "Na", oxidation_states={"Na": 1, "Cl": -1}).bottlenecks
    assert window.atoms == ("Cl",) * 4
    assert window.area_A2 == pytest.approx(a * a)
    assert window.multiplicity == 3


def test_polygon_area_of_a_shuffled_hexagon():
    angle = np.radians(60 * np.array([3, 0, 5, 1, 4, 2]))
    corners = np.stack([2 * np.cos(angle), 2 * np.sin(angle), 0 * angle], axis=1) + 7.0
    assert polygon_area_A2(corners) == pytest.approx(6 * np.sqrt(3))


class TestSieve:
    def test_each_threshold_can_be_switched_off_and_gives_its_numbers(self):
        found = channels("Na3OCl_Pm-3m", settings=ChannelSettings(bvse=True))
        assert judge(found, ChannelSettings(min_percolation_radius_A=None))[0] is Outcome.COMPLETED
        outcome, reason, flags = judge(
            found, ChannelSettings(min_percolation_radius_A=0.9, percolation_dimensions=3, closed_ratio=0.8)
        )
        assert outcome is Outcome.SIEVED
        assert "0.69 Å" in reason
        assert "0.9 Å" in reason
        assert "3 dimensions" in reason
        assert Flag.CLOSED_CHANNELS in flags
        outcome, reason, _ = judge(found, ChannelSettings(min_gate_free_radius_A=1.0, max_bvse_barrier_eV=0.1))
        assert outcome is Outcome.SIEVED
        assert reason.count(";") == 1
        assert "eV" in reason

    def test_the_flag_singles_out_the_narrow_ones_only(self):
        flagged = {n for n in ("NaAlCl4_P212121", "Li3YCl6_P-3m1", "Li7La3Zr2O12_Ia-3d", "Li6PS5Cl_F-43m")
                   if judge(channels(n))[2]}  # fmt: skip
        assert flagged == {"NaAlCl4_P212121"}  # the one poor conductor among them

    def test_a_missing_landscape_excludes_nobody(self):
        found = channels("MgSc2Se4_Fd-3m", settings=ChannelSettings(max_bvse_barrier_eV=0.5))
        assert found.bvse_barriers_eV is None
        assert judge(found, ChannelSettings(max_bvse_barrier_eV=0.5))[0] is Outcome.COMPLETED

    def test_a_shut_cage_falls(self):
        shut = Structure.from_spacegroup("Fm-3m", np.eye(3) * 4.4, ["Na+", "Cl-"], [[0] * 3, [0.5] * 3])
        outcome, reason, flags = judge(describe(shut, "Na"))
        assert outcome is Outcome.SIEVED
        assert "0.25" in reason
        assert flags == (Flag.CLOSED_CHANNELS,)


def test_a_file_that_numbers_its_atoms_has_the_kinds_of_one_that_does_not():
    crystal = Structure.from_file(Path(prototypes.load("Na3PS4_I-43m").location).with_suffix(".cif")) * (2, 2, 2)
    for site in crystal:
        site.label = site.specie.symbol
    plain = describe(crystal, "Na")
    for number, site in enumerate(crystal):
        site.label += str(number)
    numbered = describe(crystal, "Na")
    for kinds in (plain.gates, numbered.gates):
        assert [g.multiplicity for g in kinds] == [96, 96]
    assert [b.multiplicity for b in numbered.bottlenecks] == [b.multiplicity for b in plain.bottlenecks]
    assert {g.anions for g in numbered.gates} == {("S1", "S1", "S1")}


def test_labels_that_name_sites_are_kept():
    nasicon = channels("NaZr2P3O12_R-3c")  # O1, O2: two sites of one element
    assert {"O1", "O2"} <= set(nasicon.framework.names)


def test_a_way_that_meets_no_gate_counts_as_open():
    crystal = Structure.from_file(Path(prototypes.load("Na3PS4_I-43m").location).with_suffix(".cif"))
    found = describe(crystal, "Na", settings=ChannelSettings(min_jump_length_A=5.0))  # every jump stays in one cavity
    assert found.limiting_gate_A == np.inf
    assert (found.record("open").limiting_gate_A, found.record("open").sites_percolate) == (None, True)
    asked = ChannelSettings(min_gate_free_radius_A=0.5)
    assert judge(found, asked)[0] is Outcome.COMPLETED
    nowhere = describe(crystal, "Na", settings=ChannelSettings(max_jump_length_A=0.5))
    assert nowhere.limiting_gate_A is None
    assert (nowhere.record("shut").limiting_gate_A, nowhere.record("shut").sites_percolate) == (None, False)
    assert "no way through" in judge(nowhere, asked)[1]


def unlisted_pairs(found):
    """Pairs of sites that a plain search over images finds to be neighbours, and that have no row."""
    sites, labels, cell = found.framework.sites, found.framework.labels, found.framework.cell
    rows = [(r.jump.split(" ")[0], r.jump_length_A) for r in (*found.gates, *found.gateless)]
    reach = found.gate_set.jumps.lengths.max() + 1e-6
    shifts = np.array(list(itertools.product(range(-2, 3), repeat=3))) @ cell
    everywhere = (sites[None] + shifts[:, None]).reshape(-1, 3)
    unlisted = []
    for i, home in enumerate(sites):
        square = np.einsum("ij,ij->i", everywhere - home, everywhere - home)
        for k in np.flatnonzero((square > 1e-6) & (square < reach**2)):
            other = np.einsum("ij,ij->i", everywhere - everywhere[k], everywhere - everywhere[k])
            third = (square > 1e-6) & (other > 1e-6) & (np.maximum(square, other) < 0.998 * square[k])
            if not np.any(third & (square + other <= 1.02 * square[k])):
                name, length = "-".join(sorted((labels[i], labels[k % len(sites)]))), np.sqrt(square[k])
                if not any(name == jump and abs(length - listed) < 0.12 for jump, listed in rows):
                    unlisted.append((name, float(length)))
    return unlisted


def test_every_jump_has_a_gate_or_a_reason():
    """Split sites: too near for a gate by the setting; without it a window, or none because one cavity holds both."""
    for name, jump, length_A in (("Na3PS4_I-43m_split", "Na1-Na1", 0.60), ("LiTi2P3O12_R-3c", "Li3-M2", 0.44)):
        found = channels(name)
        (short,) = [j for j in found.gateless if j.jump == jump]
        assert short.jump_length_A == pytest.approx(length_A, abs=0.01)
        assert "min_jump_length_A" in short.reason
        assert short.percolating
        assert len(found.gate_set.jump) == sum(g.multiplicity for g in found.gates)
        assert unlisted_pairs(found) == []
    (one_cavity,) = channels("Na3PS4_I-43m_split", settings=ChannelSettings(min_jump_length_A=0)).gateless
    assert "meets no window" in one_cavity.reason
    named = channels("LiTi2P3O12_R-3c", settings=ChannelSettings(min_jump_length_A=0))
    assert named.gateless == ()
    assert min(g.jump_length_A for g in named.gates) < 0.5
