"""`measure` on runs of every kind: short, motionless, melting, breaking, contradictory."""

import numpy as np
import pytest

from ionsieve.errors import ProblemsError
from ionsieve.records import Measurement
from ionsieve.transport import TransportSettings, measure
from ionsieve.transport.exports import as_matcalc, as_pymatgen, msd_csv
from ionsieve.transport.synthetic import lattice_walk
from ionsieve.verdicts import Flag, Outcome, Verdict

CELL = np.eye(3) * 18.0


def ps4(centres, rng, frames, spin=0.0):
    """P with four S at 2.05 Å that vibrate, and turn by `spin` radians a frame about z."""
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 2.05 / np.sqrt(3)
    out = []
    for c in centres:
        p = c + 0.05 * rng.normal(size=(frames, 1, 3))
        angle = spin * np.arange(frames)
        turn = np.zeros((frames, 3, 3))
        turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
        turn[:, 0, 1], turn[:, 1, 0] = -np.sin(angle), np.sin(angle)
        turn[:, 2, 2] = 1.0
        s = c + np.einsum("fij,aj->fai", turn, tetrahedron) + 0.05 * rng.normal(size=(frames, 4, 3))
        out.append(np.concatenate([p, s], axis=1))
    return np.concatenate(out, axis=1)


def crystal(frames=600, jumps=300, spin=0.0, dt=0.1, **options):
    rng = np.random.default_rng(0)
    walk = lattice_walk(ions=16, frames=frames, jumps=jumps, seed=1)
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3) * 9.0 + 2.0
    framework = ps4(grid, rng, frames, spin)
    positions = np.concatenate([walk.positions_A, framework], axis=1)
    symbols = ["Na"] * 16 + ["P", "S", "S", "S", "S"] * 8
    return positions, symbols, np.arange(frames) * dt, options


def run(positions, symbols, times, options=None, **more):
    arguments = {
        "mobile": "Na",
        "charge": 1,
        "framework": ("P", "S"),
        "temperature_K": 700.0,
        "polyanions": (("P", "S", 2.6),),
    }
    return measure(positions, CELL, times, symbols, **(arguments | (options or {}) | more))


def test_a_good_run():
    result = run(*crystal())
    assert result.verdict is Verdict.VALUE
    assert result.outcome is Outcome.COMPLETED
    assert result.polyanion_intact_fraction == 1.0
    assert result.lindemann < 0.05
    truth = 300 / (16 * 599) * 9.0 / 6.0 / 0.1 * 1e-4
    assert result.tracer_diffusivity.low95 < truth < result.tracer_diffusivity.high95
    assert result.hops == pytest.approx(300, rel=0.25)
    record = result.to_record(run_id="r", configuration_id="c", candidate_id="x", mean_temperature_K=698.0)
    assert Measurement.from_json(record.to_json()) == record
    assert len(record.msd.x) <= 200
    assert record.msd.error


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6, 9, 13, 20, 40, 80])
@pytest.mark.parametrize("jumps", [0, 6])
def test_short_runs_are_answered_not_crashed(frames, jumps):
    positions, symbols, times, _ = crystal(frames=max(frames, 2), jumps=jumps)
    result = run(positions[:frames], symbols, times[:frames])
    assert result.verdict in (Verdict.UPPER_LIMIT, Verdict.REFUSED)
    if result.verdict is Verdict.UPPER_LIMIT:
        assert result.tracer_diffusivity.value > 0.0
        assert result.conductivity.value > 0.0
    assert result.reason
    record = result.to_record(run_id="r", configuration_id="c", candidate_id="x")
    assert Measurement.from_json(record.to_json()) == record
    as_pymatgen(result, include_msd_t=True)
    assert msd_csv(result).count("\n") == frames + 1


def test_no_jump_gives_the_three_jump_limit():
    positions, symbols, times, _ = crystal(jumps=0)
    sites = positions[:, :16].mean(axis=0)
    result = run(positions, symbols, times, mobile_sites_A=sites, settings=TransportSettings(jump_length_A=3.0))
    assert result.hops == 0
    assert Flag.NO_HOPS in result.flags
    expected = 3.0 * 9.0 / (6 * 16 * times[-1]) * 1e-4
    assert result.tracer_diffusivity.value == pytest.approx(expected, rel=0.35)


def test_turning_polyanions_are_allowed_and_seen():
    result = run(*crystal(spin=0.05))
    assert result.outcome is Outcome.COMPLETED
    assert result.polyanion_intact_fraction == 1.0
    turning = result.mechanism["rotation"]["P-S"]
    assert turning["bonds"] == 32
    assert turning["relaxation_ps"] is not None
    assert run(*crystal()).mechanism["rotation"]["P-S"]["relaxation_ps"] is None


def test_ligands_may_go_far_by_turning_but_cores_may_not():
    positions, symbols, times, _ = crystal()
    ligand = positions.copy()
    ligand[300:, 17:21] += np.array([3.0, 3.0, 3.0])  # 5.2 Å: two ligands' worth of turning
    ligand[300:, 16] += np.array([3.0, 3.0, 3.0])
    assert run(ligand, symbols, times).outcome is Outcome.MELTED  # the centre went along
    turned = positions.copy()
    turned[300:, 17:21] = 2 * positions[300:, 16:17] - positions[300:, 17:21]
    result = run(turned, symbols, times, settings=TransportSettings(framework_max_displacement_A=3.0))
    assert result.framework_max_displacement_A > 3.9
    assert result.outcome is Outcome.COMPLETED


def test_a_lost_ligand_breaks_the_polyanion():
    positions, symbols, times, _ = crystal()
    positions[200:, 17] += np.minimum(np.arange(400) * 0.02, 2.5)[:, None] * np.array([1.0, 0.0, 0.0])
    result = run(positions, symbols, times)
    assert result.outcome is Outcome.POLYANION_BROKEN
    assert result.tracer_diffusivity.kind is Verdict.REFUSED
    assert result.polyanion_intact_fraction < 0.99
    assert "open at the end" in result.reason


def test_a_flowing_framework_is_melted():
    positions, symbols, times, _ = crystal()
    rng = np.random.default_rng(3)
    positions[:, 16:] += np.cumsum(0.15 * rng.normal(size=positions[:, 16:].shape), axis=0)
    result = run(positions, symbols, times, polyanions=())
    assert result.outcome is Outcome.MELTED
    assert result.verdict is Verdict.REFUSED
    assert result.conductivity.kind is Verdict.REFUSED
    assert "framework" in result.reason


def test_one_wandering_framework_ion_is_melted_by_the_five_angstrom_rule():
    positions, symbols, times, _ = crystal()
    positions[:, 16] += np.linspace(0, 6.5, 600)[:, None] * np.array([0.0, 0.0, 1.0])
    assert run(positions, symbols, times, polyanions=()).outcome is Outcome.MELTED


def test_a_trapped_ion_is_not_a_conductor():
    """Back and forth between two sites: the MSD saturates, many site changes notwithstanding."""
    rng = np.random.default_rng(5)
    frames = 3000
    state = np.cumsum(rng.random((frames, 16)) < 0.05, axis=0) % 2
    home = np.arange(16)[:, None] * np.array([4.0, 0.0, 0.0])
    paths = home[None] + state[:, :, None] * np.array([0.0, 3.0, 0.0]) + 0.2 * rng.normal(size=(frames, 16, 3))
    sites = np.concatenate([home, home + np.array([0.0, 3.0, 0.0])])
    result = measure(
        paths,
        np.eye(3) * 64.0,
        np.arange(frames) * 0.1,
        ["Na"] * 16,
        mobile="Na",
        charge=1,
        temperature_K=600.0,
        mobile_sites_A=sites,
        settings=TransportSettings(jump_length_A=3.0),
    )
    assert result.hops > 1000
    assert result.verdict is not Verdict.VALUE
    assert result.mechanism["jumps"]["return_fraction"] == 1.0


def test_site_mechanism():
    walk = lattice_walk(ions=27, frames=3000, jumps=400, rattle_A=0.25, seed=4)
    n = 6
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.0
    labels = ["Na1" if k % 2 else "Na2" for k in range(len(grid))]
    result = measure(
        walk.positions_A,
        np.eye(3) * 18.0,
        np.arange(3000) * 0.05,
        ["Na"] * 27,
        mobile="Na",
        charge=1,
        temperature_K=600.0,
        mobile_sites_A=grid,
        mobile_site_labels=labels,
    )
    jumps = result.mechanism["jumps"]
    assert result.hops == pytest.approx(walk.jumps, rel=0.03)
    assert result.mechanism["jump_length_A"] == pytest.approx(3.0)
    assert sum(p["jumps"] for p in jumps["pairs"].values()) == jumps["n_jumps"]
    assert jumps["correlation_factor"] == pytest.approx(1.0, abs=0.25)
    occupied = sum(jumps["occupancy"][k] * labels.count(k) for k in jumps["occupancy"])
    assert occupied == pytest.approx(27.0)
    total = sum(
        jumps["residence_ps"][k] * sum(p["jumps"] for q, p in jumps["pairs"].items() if q.startswith(k))
        for k in jumps["residence_ps"]
    )
    assert total == pytest.approx(27 * 2999 * 0.05, rel=0.01)
    assert result.mechanism["vibration_amplitude_A"] == pytest.approx(0.25, rel=0.1)


def test_way_stations_are_no_homes():
    """Sites half-way between the lattice's: nobody stays there, and the jump length stays that of the lattice."""
    walk = lattice_walk(ions=27, frames=1500, jumps=300, rattle_A=0.2, seed=4)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.0
    between = np.concatenate([grid + np.eye(3)[k] * 1.5 for k in range(3)])
    sites = np.concatenate([grid, between])
    labels = ["Na1"] * len(grid) + ["mid"] * len(between)
    arguments = {"mobile": "Na", "charge": 1, "temperature_K": 600.0, "mobile_sites_A": sites}
    times = np.arange(1500) * 0.05
    told = measure(walk.positions_A, walk.cell_A, times, ["Na"] * 27, mobile_site_labels=labels, **arguments)
    assert told.mechanism["jump_length_A"] == pytest.approx(3.0)
    assert told.n_eff == pytest.approx(300, rel=0.3)
    assert told.hops == pytest.approx(walk.jumps, rel=0.05)
    assert told.mechanism["jumps"]["n_jumps"] >= told.hops
    assert measure(walk.positions_A, walk.cell_A, times, ["Na"] * 27, **arguments).mechanism["jump_length_A"] < 2.0


def test_attempt_frequency_of_an_oscillator():
    t = np.arange(4000) * 0.01
    phases = np.random.default_rng(0).uniform(0, 6.28, size=(1, 8, 3))
    paths = 0.2 * np.sin(2 * np.pi * 4.0 * t[:, None, None] + phases)
    result = measure(paths, CELL, t, ["Li"] * 8, mobile="Li", charge=1, temperature_K=300.0)
    assert result.mechanism["attempt_frequency_THz"] == pytest.approx(4.0, rel=0.03)


def test_energy_drift_is_flagged():
    positions, symbols, times, _ = crystal()
    rng = np.random.default_rng(0)
    flat = rng.normal(scale=0.3, size=600)
    assert Flag.NOT_EQUILIBRATED not in run(positions, symbols, times, energies_eV=flat).flags
    steep = flat - 0.02 * 56 * np.arange(600) * 0.1
    result = run(positions, symbols, times, energies_eV=steep)
    assert Flag.NOT_EQUILIBRATED in result.flags
    assert result.mechanism["energy_drift_meV_per_atom_per_ps"] == pytest.approx(-20.0, rel=0.02)
    slow = flat + 0.4e-3 * 56 * times  # 0.4 meV/atom/ps: little a ps, 24 meV/atom over the run
    assert Flag.NOT_EQUILIBRATED in run(positions, symbols, times, energies_eV=slow).flags
    assert Flag.NOT_EQUILIBRATED not in run(positions[:100], symbols, times[:100], energies_eV=slow[:100]).flags


def test_charges_per_atom_and_per_element_agree():
    positions, symbols, times, _ = crystal()
    charges = {"Na": 1.0, "P": 5.0, "S": -2.0}
    per_element = run(positions, symbols, times, charges=charges)
    per_atom = run(positions, symbols, times, charges=[charges[s] for s in symbols])
    assert per_atom.charge.value == per_element.charge.value
    # the framework only rattles: its charges change the slope little
    alone = run(positions, symbols, times)
    assert per_element.charge.value == pytest.approx(alone.charge.value, rel=0.2)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ProblemsError) as error:
        measure(
            np.full((4, 3, 3), np.nan),
            np.eye(2),
            [0.0, 1.0, 2.0, 5.0],
            ["Na", "P", "O"],
            mobile="Li",
            charge=1,
            framework=("Zr", "Li"),
            temperature_K=300.0,
        )
    text = str(error.value)
    for part in (
        "NaN",
        "cells must have shape",
        "evenly spaced",
        "no Li in the trajectory",
        "no Zr",
        "both mobile and framework",
    ):
        assert part in text


def test_exports_have_the_peers_keys_and_units():
    result = run(*crystal())
    summary = as_pymatgen(result, include_msd_t=True)
    assert summary["D"] == result.tracer_diffusivity.value
    assert summary["S"] == pytest.approx(result.conductivity.value * 1000)
    assert np.mean(summary["D_components"]) == pytest.approx(summary["D"], rel=1e-9)
    assert len(summary["msd"]) == len(summary["dt"]) == 600
    assert summary["specie"] == "Na1+"
    matcalc = as_matcalc(result)
    assert matcalc["_units"]["conductivity"] == "mS/cm"
    assert matcalc["conductivity"] == summary["S"]
    limited = as_pymatgen(run(*crystal(jumps=0)))
    assert limited["D"] is None
    assert limited["ionsieve"]["verdict"] == "upper_limit"
    assert limited["ionsieve"]["diffusivity_upper_limit"] > 0.0


@pytest.mark.oracle
def test_pymatgen_keys_are_all_there():
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(10), ["Li", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    rng = np.random.default_rng(0)
    displacements = np.cumsum(rng.normal(scale=0.05, size=(2, 500, 3)), axis=1)
    analyzer = DiffusionAnalyzer(structure, displacements, "Li", 600, 2, 10, smoothed=False)
    theirs = analyzer.get_summary_dict(include_msd_t=True, include_mscd_t=True)
    ours = as_pymatgen(run(*crystal()), include_msd_t=True)
    assert set(theirs) <= set(ours)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": 0.0}, "above 0 K"),
        ({"temperature_K": -5.0}, "above 0 K"),
        ({"charge": 0}, "has a charge"),
        ({"cells": np.zeros((3, 3))}, "no volume"),
        ({"cells": np.full((3, 3), np.nan)}, "no volume"),
        ({"positions": np.zeros((0, 2, 3)), "times_ps": np.zeros(0)}, "no frames"),
    ],
)
def test_nonsense_is_named(change, message):
    told = {
        "positions": np.random.default_rng(0).normal(size=(5, 2, 3)),
        "cells": 10.0 * np.eye(3),
        "times_ps": np.arange(5) * 0.1,
        "temperature_K": 300.0,
        "charge": 1,
    } | change
    with pytest.raises(ProblemsError, match=message):
        measure(
            told["positions"],
            told["cells"],
            told["times_ps"],
            ["Na", "Cl"],
            mobile="Na",
            charge=told["charge"],
            framework=("Cl",),
            temperature_K=told["temperature_K"],
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": ["Na", "Xy"]}, "numbers = Xy: no such element"),
        ({"numbers": [11, 999]}, "numbers = 999: no such element"),
        ({"numbers": [11, 17.5]}, "no such element"),
        ({"positions": "abc"}, "positions: not an array of numbers"),
        ({"times_ps": [0.0, 0.1, np.nan, 0.3, 0.4]}, "times hold NaN"),
        ({"times_ps": np.zeros((5, 2))}, "one time per frame"),
        ({"mobile_sites_A": np.zeros((4, 2))}, r"sites must have shape \(sites, 3\)"),
        ({"mobile_sites_A": np.full((4, 3), np.nan)}, "sites hold NaN"),
        ({"mobile_sites_A": np.eye(3), "mobile_site_labels": ["a", "b"]}, "2 labels, 3 sites"),
        ({"mobile_site_labels": ["a", "b"]}, "2 labels, 0 sites"),
        ({"energies_eV": [0.0, 1.0]}, "one energy per frame"),
        ({"energies_eV": np.full(5, np.nan)}, "energies hold NaN"),
        ({"polyanions": [("P", "Cl", 2.0)]}, "no P in the trajectory"),
        ({"polyanions": [("Cl", 2.0)]}, "not a bond"),
        ({"polyanions": [("Cl", "Cl", -1.0)]}, "not a bond"),
        ({"charge": 1.5}, "charge = 1.5: .*whole number"),
        ({"charge": float("nan")}, "whole number"),
        ({"charges": {"K": 1.0}}, "no K in the trajectory"),
        ({"charges": [1.0]}, "one charge per atom"),
        ({"charges": {"Na": "x"}}, "charges: not an array of numbers"),
        ({"charges": {"Na": 0.0}}, "Na carries no charge"),
        ({"charges": {"Cl": float("inf")}}, "charges hold NaN or infinity"),
    ],
)
def test_wrong_arrays_are_named(change, message):
    told = {
        "positions": np.random.default_rng(0).normal(size=(5, 2, 3)),
        "cells": 10.0 * np.eye(3),
        "times_ps": np.arange(5) * 0.1,
        "numbers": ["Na", "Cl"],
        "charge": 1,
    } | change
    with pytest.raises(ProblemsError, match=message):
        measure(**told, mobile="Na", temperature_K=300.0)


def test_a_whole_charge_may_be_a_float():
    positions, symbols, times, _ = crystal(frames=50, jumps=5)
    assert run(positions, symbols, times, charge=1.0).mobile_charge == 1


def test_the_scale_of_the_charges_leaves_the_haven_ratio():
    """Charges 0.8 instead of 1: the same correlation, 0.64 of the conductivity."""
    positions, symbols, times, _ = crystal()
    formal = run(positions, symbols, times)
    scaled = run(positions, symbols, times, charges={"Na": 0.8})
    assert scaled.inverse_haven_ratio.value == pytest.approx(formal.inverse_haven_ratio.value, rel=1e-9)
    assert scaled.charge_diffusivity.value == pytest.approx(formal.charge_diffusivity.value, rel=1e-9)
    assert scaled.charge_conductivity.value == pytest.approx(0.64 * formal.charge_conductivity.value, rel=1e-9)
    assert scaled.conductivity.value == formal.conductivity.value


def test_no_tensor_where_there_is_no_value():
    still = run(*crystal(jumps=0)[:3])
    assert still.tracer_diffusivity.kind is Verdict.UPPER_LIMIT
    assert still.tensor_cm2_per_s is None
    assert "principal_diffusivities_cm2_per_s" not in still.mechanism
    assert run(*crystal()[:3]).tensor_cm2_per_s is not None


def test_the_stored_curve_has_errors_in_the_window_only():
    result = run(*crystal()[:3])
    curve = result.to_record(run_id="a", configuration_id="b", candidate_id="c").msd
    first, last = result.fit_window_ps
    assert len(curve.error) == len(curve.x)
    for x, error in zip(curve.x, curve.error, strict=True):
        assert (error is not None) == (first <= x <= last)
