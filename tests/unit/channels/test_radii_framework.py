"""Radii are chosen in one place; structures become frameworks; bad input gets a clear verdict."""

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure

from ionsieve.channels import ChannelSettings, describe, read_framework
from ionsieve.channels.charges import guess_charges
from ionsieve.channels.radii import coordination_numbers, ion_radius_A, mobile_radius_A
from ionsieve.errors import InputError
from ionsieve.records import CrystalStructure


@pytest.mark.parametrize(
    ("element", "charge", "coordination", "radius"),
    [
        ("O", -2, 2, 1.40),  # anions: six-coordinate whatever surrounds them
        ("S", -2, None, 1.84),
        ("Zr", 4, 6, 0.72),
        ("P", 5, 4, 0.17),
        ("La", 3, 8, 1.16),
        ("Na", 1, 6, 1.02),
        ("Na", 1, 3, 0.99),  # nearest listed coordination: four
        ("Fe", 3, 6, 0.645),  # high spin
        ("H", 1, 1, 0.0),
        ("H", -1, 4, 0.85),
        ("Ti", 3.5, 6, 0.5 * (0.67 + 0.605)),  # between its neighbours
    ],
)
def test_shannon_radii(element, charge, coordination, radius):
    assert ion_radius_A(element, charge, coordination) == pytest.approx(radius)


def test_overrides_win_by_ion_then_by_element():
    settings = ChannelSettings(radius_overrides_A={"O": 1.35, "Zr+4": 0.80})
    assert ion_radius_A("O", -2, 4, settings) == 1.35
    assert ion_radius_A("Zr", 4, 6, settings) == 0.80
    assert ion_radius_A("Zr", 4, 6, ChannelSettings(radii="shannon_crystal")) == pytest.approx(0.86)


def test_a_missing_radius_names_the_remedy():
    with pytest.raises(InputError, match="radius_overrides_A") as caught:
        ion_radius_A("Zr", -4)
    assert caught.value.problem.found == "Zr-4"


def test_mobile_ion_has_its_smallest_usual_coordination():
    assert mobile_radius_A("Na", 1) == pytest.approx(0.99)
    assert mobile_radius_A("Li", 1) == pytest.approx(0.59)


def test_coordination_counts_anions_within_a_quarter_of_the_nearest():
    d = np.array([[2.0, 2.05, 2.1, 2.4, 2.6, 3.0]])
    anion = np.array([[True, True, False, True, True, True]])
    assert coordination_numbers(d, anion).tolist() == [3]


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ({"Na": 3, "P": 1, "S": 4}, {"P": 5, "S": -2}),
        ({"Na": 3, "O": 1, "B": 1, "H": 4}, {"B": 3, "H": -1}),
        ({"Na": 1, "Fe": 2, "P": 3, "O": 12}, {"Fe": 4}),
        ({"Li": 2, "O": 1, "H": 1, "Cl": 1}, {"H": 1}),
    ],
)
def test_guessed_charges(amounts, expected):
    found = guess_charges(amounts)
    assert {e: found[e] for e in expected} == expected
    assert sum(amounts[e] * z for e, z in found.items()) == pytest.approx(0)


def salt(**kwargs):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]], **kwargs
    )


def test_the_same_framework_from_every_kind_of_structure():
    crystal = salt()
    a = read_framework(crystal, "Na")
    b = read_framework(CrystalStructure.from_pymatgen(crystal), "Na")
    c = read_framework(crystal.to_ase_atoms(), "Na")
    for other in (b, c):
        np.testing.assert_allclose(a.positions, other.positions, atol=1e-6)
        np.testing.assert_allclose(a.radii, other.radii)
        np.testing.assert_array_equal(a.indices, other.indices)
    assert a.radius_table == {"Cl-1": pytest.approx(1.81)}
    assert set(a.labels) == {"Na"} or len(set(a.labels)) == 1


def test_mixed_sites_take_the_mean_radius():
    crystal = salt()
    crystal.replace_species({"Cl-": {"Cl-": 0.5, "Br-": 0.5}})
    assert read_framework(crystal, "Na").radii[0] == pytest.approx(0.5 * (1.81 + 1.96))


def test_a_dopant_on_a_mobile_site_blocks_it():
    crystal = salt()
    sites = crystal.cart_coords[:4]
    crystal.replace(0, "Mg2+")
    framework = read_framework(crystal, "Na", mobile_sites_A=sites, mobile_site_labels=["A"] * 4)
    assert len(framework.sites) == 3


class TestBadInput:
    def test_no_anions(self):
        alloy = Structure(Lattice.cubic(3), ["Na", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        with pytest.raises(InputError, match="no anions"):
            describe(alloy, "Na", oxidation_states={"Na": 1, "Al": 3})

    def test_absent_mobile_ion_suggests_the_nearest(self):
        with pytest.raises(InputError, match="holds no Nb") as caught:
            describe(salt(), "Nb")
        assert "Na" in caught.value.problem.expected

    def test_absent_mobile_ion_with_sites_given_is_fine(self):
        empty = Structure(Lattice.cubic(5.0), ["Cs+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        found = describe(empty, "Na", mobile_sites_A=[[2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]])
        assert found.percolation_radius_A[0] >= 0

    def test_overlapping_atoms(self):
        doubled = salt()
        doubled.append("Cl-", doubled[4].frac_coords + 0.02, validate_proximity=False)
        with pytest.raises(InputError, match="overlap"):
            describe(doubled, "Na", oxidation_states={"Na": 1, "Cl": -1})

    def test_mobile_ion_on_top_of_an_anion(self):
        doubled = salt()
        doubled.append("Na+", doubled[4].frac_coords + 0.02, validate_proximity=False)
        with pytest.raises(InputError, match="overlap"):
            describe(doubled, "Na", oxidation_states={"Na": 1, "Cl": -1})

    def test_split_positions_of_one_ion_do_not_overlap(self):
        split = Structure(
            Lattice.cubic(6), [{"Na+": 0.5}, {"Na+": 0.5}, "Cl-"], [[0.49, 0.5, 0.5], [0.51, 0.5, 0.5], [0, 0, 0]]
        )
        assert describe(split, "Na").free_sphere_A > 0

    def test_overlap_across_the_cell_face(self):
        pair = Structure(Lattice.cubic(6), ["Na+", "Cl-", "Cl-"], [[0.5] * 3, [0.001, 0, 0], [0.999, 0, 0]])
        with pytest.raises(InputError, match="overlap"):
            describe(pair, "Na", oxidation_states={"Na": 1, "Cl": -1})

    def test_slab(self):
        slab = salt()
        slab.make_supercell([1, 1, 1])
        thick = Structure(Lattice.orthorhombic(5.64, 5.64, 25), slab.species, slab.frac_coords * [1, 1, 5.64 / 25])
        with pytest.raises(InputError, match="slab") as caught:
            describe(thick, "Na")
        assert "Å" in caught.value.problem.found

    @pytest.mark.parametrize("vacuum_A", [6.5, 9.0])
    def test_slab_of_thin_vacuum(self, vacuum_A):
        layers = Structure(
            Lattice.orthorhombic(4, 4, 2.8 + vacuum_A),
            ["Na+", "Cl-", "Cl-", "Na+"],
            np.array([[0, 0, 0], [2, 2, 0], [0, 0, 2.8], [2, 2, 2.8]]),
            coords_are_cartesian=True,
        )
        with pytest.raises(InputError, match="slab"):
            describe(layers, "Na")

    @pytest.mark.parametrize(
        ("overrides", "told"),
        [({"O2-": 1.3}, "O-2"), ({"Oxygen": 1.3}, "mean O"), ({"zr": 0.7}, "mean Zr"), ({"O": -1.0}, "zero or more"),
         ({"Cl": float("nan")}, "finite"), ({"Xx": 1.0}, "neither an element")],
    )  # fmt: skip
    def test_radius_overrides_that_would_do_nothing_or_harm(self, overrides, told):
        with pytest.raises(ValidationError, match=told):
            ChannelSettings(radius_overrides_A=overrides)

    def test_radius_overrides_by_element_and_by_ion(self):
        overrides = {"Cl-1": 1.7, "Na": 0.9, "Ti+3.5": 0.6, "H": 0.0}
        assert ChannelSettings(radius_overrides_A=overrides).radius_overrides_A == overrides
        assert read_framework(salt(), "Na", settings=ChannelSettings(radius_overrides_A=overrides)).radii.max() == 1.7

    def test_mobile_sites_that_are_no_numbers(self):
        with pytest.raises(InputError, match="mobile sites hold NaN") as caught:
            describe(salt(), "Na", mobile_sites_A=[[0, 0, 0], [0, 0, float("nan")]])
        assert caught.value.problem.where == "site 1"

    def test_open_boundary(self):
        atoms = salt().to_ase_atoms()
        atoms.pbc = [True, True, False]
        with pytest.raises(InputError, match="not periodic"):
            describe(atoms, "Na")

    def test_no_volume(self):
        with pytest.raises(InputError, match="no volume"):
            describe(Atoms("NaCl", positions=[[0, 0, 0], [2, 0, 0]], cell=np.zeros((3, 3)), pbc=True), "Na")

    def test_something_else(self):
        with pytest.raises(InputError, match="not a structure"):
            describe(42, "Na")

    def test_wrong_number_of_charges(self):
        with pytest.raises(InputError, match="oxidation states for"):
            describe(salt(), "Na", oxidation_states=[1, -1, 2])

    def test_wrong_number_of_labels(self):
        with pytest.raises(InputError, match="labels for"):
            describe(salt(), "Na", mobile_sites_A=[[0, 0, 0]], mobile_site_labels=["a", "b"])
