"""Gates in motion: the fast path equals the slow one in every frame; passages are found; summaries are right."""

from pathlib import Path

import array_api_strict
import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from ionsieve.channels import describe, find_gates, gates_along, gates_in_motion, read_framework, summarise_gates
from ionsieve.channels.motion import GateSeries, crossings
from ionsieve.errors import InputError
from ionsieve.generate import prototypes
from ionsieve.geometry.polygons import circumradius_A, triangle_area_A2, widest_point


def structure(name):
    return Structure.from_file(Path(prototypes.load(name).location).with_suffix(".cif"))


@pytest.fixture(scope="module", params=["Na3PS4_I-43m", "Na3OCl_Pm-3m"], ids=["one radius", "several radii"])
def case(request):
    crystal = structure(request.param)
    framework = read_framework(crystal, "Na")
    gates = find_gates(framework)
    rng = np.random.default_rng(2)
    frames = 30
    cells = crystal.lattice.matrix * (1 + 0.02 * rng.normal(size=(frames, 1, 1)))
    fractional = crystal.frac_coords + rng.normal(0, 0.02, (frames, len(crystal), 3))
    return framework, gates, fractional @ cells, cells


def test_equals_the_plain_geometry_frame_by_frame(case):
    _, gates, positions, cells = case
    assert len(gates) > 0
    series = gates_along(positions, cells, gates)
    assert series.area.shape == (len(positions), len(gates))
    for f in range(0, len(positions), 7):
        corners = positions[f][gates.atoms] + gates.images @ cells[f]
        np.testing.assert_allclose(series.area[f], triangle_area_A2(corners), rtol=1e-9)
        np.testing.assert_allclose(series.circumradius[f], circumradius_A(corners), rtol=1e-9)
        np.testing.assert_allclose(series.free_radius[f], widest_point(corners, gates.radii)[1], atol=1e-9)


def test_obtuse_triangles_stay_bounded_in_the_fast_path(case):
    _, gates, positions, cells = case
    wild = positions + np.random.default_rng(0).normal(0, 1.2, positions.shape)
    wild[0] = positions[0]  # the lattice shifts are read from the first frame
    series = gates_along(wild, cells, gates)
    corners = wild[3][gates.atoms] + gates.images @ cells[3]
    np.testing.assert_allclose(series.free_radius[3], widest_point(corners, gates.radii)[1], atol=1e-7)
    assert np.isfinite(series.free_radius).all()


def test_the_static_structure_gives_the_static_gates(case):
    _, gates, _, _ = case
    series = gates_along(gates.reference[None], gates.cell, gates)
    np.testing.assert_allclose(series.area[0], gates.area, rtol=1e-9)
    np.testing.assert_allclose(series.free_radius[0], gates.free_radius, atol=1e-9)


def test_atoms_wrapped_into_other_cells_change_nothing(case):
    _, gates, positions, cells = case
    shifts = np.random.default_rng(1).integers(-3, 4, (1, positions.shape[1], 3))
    moved = positions + shifts @ cells
    a, b = gates_along(positions, cells, gates), gates_along(moved, cells, gates)
    np.testing.assert_allclose(a.area, b.area, rtol=1e-8)
    np.testing.assert_allclose(a.free_radius, b.free_radius, atol=1e-8)


def test_torch_arrays_in_and_out(case):
    _, gates, positions, cells = case
    ours = gates_along(positions, cells, gates)
    theirs = gates_along(torch.tensor(positions), torch.tensor(np.ascontiguousarray(cells)), gates)
    assert isinstance(theirs.area, torch.Tensor)
    np.testing.assert_allclose(theirs.area.numpy(), ours.area, rtol=1e-9)
    np.testing.assert_allclose(theirs.free_radius.numpy(), ours.free_radius, atol=1e-9)


def test_strict_array_api(case):
    _, gates, positions, cells = case
    if len(set(gates.radii.ravel())) > 1:
        pytest.skip("several radii are computed in NumPy")
    ours = gates_along(positions, cells, gates)
    theirs = gates_along(array_api_strict.asarray(positions), array_api_strict.asarray(cells.copy()), gates)
    np.testing.assert_allclose(np.asarray(theirs.free_radius), ours.free_radius, atol=1e-9)


def test_a_trajectory_of_other_atoms_is_refused(case):
    _, gates, positions, cells = case
    with pytest.raises(InputError, match="atoms"):
        gates_along(positions[:, 1:], cells, gates)


def test_no_frames_and_no_gates(case):
    framework, gates, positions, cells = case
    assert gates_along(positions[:0], cells[:0], gates).area.shape == (0, len(gates))
    assert summarise_gates(gates_along(positions[:0], cells[:0], gates), gates) == ()
    assert crossings(positions[:1], cells[:1], gates, framework.mobile_indices)[0].size == 0


def hop(name="NaZr2P3O12_R-3c"):
    """One Na walks from its Na1 site to the neighbouring Na2 site and back, through both triangles, in 40 frames."""
    p = prototypes.load(name)
    crystal = structure(name)
    sites = [s for s in p.sites if s.mobile]
    found = describe(
        crystal, "Na",
        mobile_sites_A=np.concatenate([s.positions for s in sites]) @ p.cell,
        mobile_site_labels=[s.label for s in sites for _ in s.positions],
    )  # fmt: skip
    gates = found.gate_set
    row = next(k for k, n in enumerate(gates.jumps.lengths) if n < 3.5)
    a, b = gates.jumps.sites[row]
    start = found.framework.sites[a]
    end = found.framework.sites[b] + gates.jumps.images[row] @ gates.cell
    ion = next(
        i for i in found.framework.mobile_indices
        for d in [crystal.lattice.get_fractional_coords(crystal[int(i)].coords - start)]
        if np.abs(d - np.round(d)).max() < 1e-3
    )  # fmt: skip
    shift = crystal[int(ion)].coords - start
    there = np.concatenate([np.linspace(0, 1, 21), np.linspace(1, 0, 21)[1:]])
    positions = np.repeat(crystal.cart_coords[None], len(there), axis=0)
    positions[:, ion] = start + shift + there[:, None] * (end - start)
    return found, gates, row, positions


def test_a_hop_passes_its_two_gates_there_and_back():
    found, gates, row, positions = hop()
    frame, gate, direction = crossings(positions, gates.cell, gates, found.framework.mobile_indices)
    own = np.flatnonzero(gates.jump == row)
    faces = {
        frozenset(map(tuple, np.column_stack([gates.atoms[g], gates.images[g] - gates.images[g, :1]]))) for g in own
    }
    assert len(faces) == 2
    assert set(own) <= set(gate.tolist())
    for g in own:
        mine = gate == g
        assert mine.sum() == 2
        assert direction[mine].sum() == 0
        first, second = np.sort(frame[mine])
        expected = (
            gates.fraction[g] if gates.jumps.sites[row, 0] <= gates.jumps.sites[row, 1] else 1 - gates.fraction[g]
        )
        assert first / 20 == pytest.approx(expected, abs=0.06)
        assert (40 - second) / 20 == pytest.approx(expected, abs=0.06)


def test_summary_of_constructed_series():
    _, gates, _, _ = hop()
    frames, count = 200, len(gates)
    free = np.linspace(0, 1, frames)[:, None] * np.ones(count)
    series = GateSeries(5 + free, 2 + free, free)
    open_at = 0.75 * gates.ion_radius
    in_use = (np.array([190, 195]), np.array([0, 0]), np.array([1, -1]))
    rows = {g.jump: g for g in summarise_gates(series, gates, passages=in_use)}
    assert set(rows) == set(gates.kinds)
    used = rows[gates.kinds[gates.kind[0]]]
    assert used.area_mean_A2 == pytest.approx(5.5)
    assert used.area_q05_A2 == pytest.approx(5.05)
    assert used.free_radius_q95_A == pytest.approx(0.95)
    assert used.open_fraction == pytest.approx(1 - open_at, abs=0.01)
    assert used.jump_correlation > 0  # the passages are where the gate is wide
    assert all(g.jump_correlation is None for name, g in rows.items() if name != used.jump)
    assert all(g.jump_correlation is None for g in summarise_gates(series, gates))


def test_one_call_for_a_trajectory():
    found, gates, _, positions = hop()
    rows = gates_in_motion(positions, gates.cell, gates, found.framework.mobile_indices)
    by_name = {g.jump: g for g in rows}
    assert by_name["Na1-Na2 gate 2"].free_radius_mean_A == pytest.approx(0.809, abs=2e-3)
    assert by_name["Na1-Na2 gate 2"].open_fraction == 1.0
