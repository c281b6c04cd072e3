"""What gates are called and how many there are: the same however the crystal is turned, shifted or repeated."""

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser
from scipy.spatial.transform import Rotation

from ionsieve.channels import describe, find_gates, read_framework
from ionsieve.channels.gate_kinds import gateless_jumps, static_gates
from ionsieve.channels.gates import percolating_jumps
from ionsieve.generate import prototypes


def framework(name):
    p = prototypes.load(name)
    parsed = CifParser(Path(p.location).with_suffix(".cif"), occupancy_tolerance=1.01, site_tolerance=1e-4)
    sites = [s for s in p.sites if s.mobile]
    return read_framework(
        parsed.parse_structures(primitive=False, on_error="ignore")[0],
        p.mobile_ion,
        mobile_sites_A=np.concatenate([s.positions for s in sites]) @ p.cell,
        mobile_site_labels=[s.label for s in sites for _ in s.positions],
    )


def turned(f, seed):
    """The same crystal in another orientation, from another origin, its atoms wrapped into the cell."""
    rotation = Rotation.random(random_state=seed).as_matrix()
    shift = np.random.default_rng(seed).uniform(0, 1, 3)

    def moved(points):
        return (points @ np.linalg.inv(f.cell) + shift) % 1.0 @ f.cell @ rotation

    return dataclasses.replace(f, cell=f.cell @ rotation, positions=moved(f.positions), sites=moved(f.sites))


def repeated(f):
    """Two cells along the shortest lattice vector."""
    axis = int(np.argmin(np.linalg.norm(f.cell, axis=1)))
    along = f.cell[axis]
    size = len(f.indices) + len(f.mobile_indices)
    return dataclasses.replace(
        f,
        cell=f.cell * (1 + np.eye(3)[axis])[:, None],
        positions=np.concatenate([f.positions, f.positions + along]),
        radii=np.tile(f.radii, 2),
        charges=np.tile(f.charges, 2),
        symbols=f.symbols * 2,
        occupants=f.occupants * 2,
        names=f.names * 2,
        indices=np.concatenate([f.indices, f.indices + size]),
        mobile_indices=np.concatenate([f.mobile_indices, f.mobile_indices + size]),
        sites=np.concatenate([f.sites, f.sites + along]),
        labels=f.labels * 2,
    )


def rows(f, copies=1):
    """All rows of the tables: words and multiplicities, and numbers, in one order."""
    gates = find_gates(f)
    limit, on_way = percolating_jumps(gates, len(f.sites))
    listed = sorted(
        (g.jump, g.anions, g.percolating, g.multiplicity / copies, g.free_radius_A, g.area_A2, g.path_fraction)
        for g in static_gates(gates, on_way)
    )
    without = sorted(
        (g.jump, g.multiplicity / copies, g.percolating) for g in gateless_jumps(gates, on_way, min_length_A=0.9)
    )
    return limit, [r[:4] for r in listed], np.array([r[4:] for r in listed]), without


@pytest.mark.parametrize("name", prototypes.names())
def test_gates_do_not_depend_on_orientation_origin_or_supercell(name):
    f = framework(name)
    limit, words, numbers, without = rows(f)
    for other in (rows(turned(f, 1)), rows(turned(f, 2)), rows(turned(repeated(f), 3), copies=2)):
        assert other[0] == pytest.approx(limit, abs=1e-6)
        assert other[1] == words
        np.testing.assert_allclose(other[2], numbers, atol=2e-3)
        assert other[3] == without


@pytest.mark.parametrize("name", prototypes.names())
def test_no_jump_meets_two_gates_of_one_name(name):
    gates = find_gates(framework(name))
    met = collections.Counter(zip(gates.jump.tolist(), gates.kind.tolist(), strict=True))
    assert max(met.values()) == 1
    for p in np.unique(gates.jump):
        mine = np.flatnonzero(gates.jump == p)
        if len(mine) > 1:
            number = np.array([int(gates.kinds[k].split(" gate ")[1].split(" ")[0]) for k in gates.kind[mine]])
            assert np.diff(gates.fraction[mine][np.argsort(number)]).min() > -1e-3


def test_a_slice_of_a_cavity_is_no_gate_beside_the_narrow_one():
    """Na2-Na6 of Na11Sn2PS12: 0.84 Å, and once, under the same name, a cut of 1.50 Å through the cavity before it."""
    f = framework("Na11Sn2PS12_I41acd")
    radius = [g.free_radius_A for g in static_gates(find_gates(f)) if g.jump.startswith("Na2-Na6")]
    assert radius == [pytest.approx(0.835, abs=0.005)]


def test_two_windows_near_each_other_on_one_jump_are_two_gates():
    """In NaAlCl4 the narrower of 0.40 and 0.31 Å, 0.2 Å apart on one jump, once vanished into their mean."""
    gates = find_gates(framework("NaAlCl4_P212121"))
    pairs = set()
    for p in np.unique(gates.jump):
        mine = np.flatnonzero((gates.jump == p) & (np.abs(gates.fraction - 0.46) < 0.03))
        names = [gates.kinds[k] for k in gates.kind[mine[np.argsort(gates.fraction[mine])]]]
        pairs.add((*names, *np.sort(gates.free_radius[mine]).round(2).tolist()))
    assert ("Na1-Na1 5.6 Å gate 1", "Na1-Na1 5.6 Å gate 2", 0.31, 0.40) in pairs


def test_gates_do_not_depend_on_the_file_s_cell():
    structure = Structure.from_file(Path(prototypes.load("NaZr2P3O12_R-3c").location).with_suffix(".cif"))
    primitive = structure.get_primitive_structure()
    copies = len(structure) // len(primitive)

    def listed(crystal, times):
        gates = describe(crystal, "Na").gates
        return {(g.jump, g.anions, round(g.area_A2, 2), g.multiplicity * times) for g in gates}

    assert listed(primitive, copies) == listed(structure, 1)
