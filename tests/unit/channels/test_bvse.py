"""Bond-valence landscape: the sum by hand, parameters, barriers and path."""

import math
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from scipy.special import erfc

from ionsieve.channels import ChannelSettings, describe, read_framework
from ionsieve.channels.bvse import landscape, missing_pairs
from ionsieve.channels.bvse_parameters import covalent_radius_A, morse, principal_quantum_number
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
    assert along.max() <= field.barriers_eV[0] + 5e-3


def test_the_cell_chosen_changes_nothing():
    p = prototypes.load("Na3OCl_Pm-3m")
    crystal = Structure.from_file(Path(p.location).with_suffix(".cif"))
    one = landscape(read_framework(crystal, "Na"), path=False).barriers_eV
    crystal.make_supercell([2, 1, 1])
    two = landscape(read_framework(crystal, "Na"), path=False).barriers_eV
    np.testing.assert_allclose(one, two, atol=0.03)  # the grids differ by a fraction of the spacing


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
