"""One crystal at all temperatures, or two: volume, shape, heat, framework; and the line that is cut there."""

import math

import numpy as np
import pytest

from ionsieve.records import CrystalState, Measurement
from ionsieve.records.estimate import Estimate
from ionsieve.transport import TransportSettings, estimate_candidate, fit_candidate
from ionsieve.transport.intervals import log_normal_estimate
from ionsieve.transport.phases import changes_between, core_shift, crystal_state, segments, shape_strain
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Flag, Verdict

K = BOLTZMANN_EV_PER_K
S = TransportSettings()
GRID = tuple((i / 2, j / 2, k / 2) for i in range(2) for j in range(2) for k in range(2))


def crystal(T, *, volume=18.0, lengths=(10.0, 10.0, 10.0), angles=(90.0, 90.0, 90.0), latent=0.0, cores=GRID):
    return CrystalState(
        volume_per_atom_A3=volume,
        lengths_A=lengths,
        angles_deg=angles,
        energy_eV_per_atom=-4.0 + 1.5 * K * T + latent,
        energy_error_eV_per_atom=0.001,
        core_symbols=("P",) * len(cores),
        core_fractional=cores,
    )


def signs(one, two, T=(500.0, 700.0), **more):
    return changes_between(one, two, from_K=T[0], to_K=T[1], settings=S, **more)


def test_one_expanding_crystal_is_one_phase():
    warm = crystal(700.0, volume=18.0 * math.exp(200 * 1.2e-4), lengths=(10.1, 10.05, 10.08), latent=0.004)
    assert signs(crystal(500.0), warm, lindemann=(0.05, 0.06)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"volume": 18.0 * 1.06}, "volume changes by +5.8 %"),
        ({"volume": 18.0 * 0.97}, "volume changes by -3.0 %"),
        ({"lengths": (10.0, 10.0, 10.6)}, "shape"),
        ({"angles": (90.0, 93.0, 90.0)}, "shape"),
        ({"latent": 0.025}, "energy changes by +25 meV"),
        ({"latent": -0.03}, "energy changes by -30 meV"),
        ({"cores": tuple((x + 0.2 * (n % 2), y, z) for n, (x, y, z) in enumerate(GRID))}, "sit elsewhere"),
    ],
)
def test_every_sign_is_seen(change, word):
    found = signs(crystal(500.0), crystal(700.0, **change))
    assert len(found) == 1
    assert word in found[0]


def test_lost_order_is_seen():
    assert "loses order" in signs(crystal(500.0), crystal(700.0), lindemann=(0.05, 0.14))[0]
    assert signs(crystal(500.0), crystal(700.0), lindemann=(None, 0.14)) == []


def test_rotation_and_common_shift_of_the_cell_are_no_change():
    assert shape_strain(crystal(1.0, angles=(80.0, 95.0, 110.0)), crystal(1.0, angles=(80.0, 95.0, 110.0))) < 1e-9
    moved = tuple((x + 0.8, y - 0.3, z + 1.4) for x, y, z in GRID)
    assert core_shift(crystal(1.0), crystal(1.0, cores=moved)) == pytest.approx(0.0, abs=1e-9)
    assert core_shift(crystal(1.0), crystal(1.0, cores=GRID[:4])) is None


def test_noisy_energies_are_not_a_latent_heat():
    loud = crystal(700.0, latent=0.02).model_copy(update={"energy_error_eV_per_atom": 0.006})
    assert signs(crystal(500.0), loud) == []


def test_state_of_a_run():
    rng = np.random.default_rng(0)
    cell = np.array([[8.0, 0, 0], [-4.0, 6.93, 0], [0, 0, 12.0]])
    home = rng.random((6, 3)) @ cell
    cores = home + 0.1 * rng.normal(size=(400, 6, 3))
    energies = -100.0 + 0.3 * rng.normal(size=400)
    state = crystal_state(cores, ["P"] * 6, cell, n_atoms=20, energies_eV=energies, times_ps=np.arange(400) * 0.1)
    assert state.angles_deg == pytest.approx((90.0, 90.0, 120.0), abs=0.01)
    assert state.volume_per_atom_A3 == pytest.approx(8.0 * 6.93 * 12.0 / 20)
    assert state.energy_eV_per_atom == pytest.approx(-5.0, abs=4 * state.energy_error_eV_per_atom)
    assert 0.0005 < state.energy_error_eV_per_atom < 0.01
    short = crystal_state(cores[:5], ["P"] * 6, cell, n_atoms=20, energies_eV=energies[:5], times_ps=np.arange(5.0))
    assert short.energy_eV_per_atom is None


def test_segments():
    class At:
        def __init__(self, below, above):
            self.below_K, self.above_K = below, above

    assert segments([900, 500, 700, 600], []) == [[500, 600, 700, 900]]
    assert segments([900, 500, 700, 600], [At(600, 700)]) == [[500, 600], [700, 900]]


def measurement(T, D, state, configuration="c0"):
    tracer = (
        D
        if isinstance(D, Estimate)
        else log_normal_estimate("tracer_diffusivity", math.log(D), 0.1, method="test", n_eff=100.0)
    )
    no = Estimate.refused("charge_diffusivity", "one run")
    return Measurement(
        run_id=f"{configuration}-{T:g}",
        configuration_id=configuration,
        candidate_id="x",
        temperature_K=T,
        mobile_ion="Na",
        mobile_charge=1,
        n_mobile=20,
        volume_A3=1000.0,
        length_ps=100.0,
        tracer_diffusivity=tracer,
        charge_diffusivity=no,
        conductivity=tracer.model_copy(update={"quantity": "conductivity"}),
        charge_conductivity=no.model_copy(update={"quantity": "charge_conductivity"}),
        inverse_haven_ratio=Estimate.refused("inverse_haven_ratio", "one run"),
        crystal=state,
    )


TS = (450.0, 500.0, 550.0, 620.0, 800.0, 900.0)


def two_phases(latent, **more):
    """0.45 eV below 600 K, 0.15 eV and a tenfold jump above."""
    result = []
    for T in TS:
        hot = T > 600.0
        D = 10 * math.exp(-9.0 - 0.15 / (K * T) - 5.0) if hot else math.exp(-5.0 - 0.45 / (K * T))
        result.append(measurement(T, D, crystal(T, latent=latent * hot), **more))
    return result


def test_the_line_is_cut_at_the_change_and_the_cold_phase_carried():
    cut, fit = fit_candidate(two_phases(0.04))
    assert Flag.PHASE_CHANGE in cut.flags
    assert "between 550 and 620 K the energy changes by +40 meV" in cut.reason
    assert cut.activation_energy.value == pytest.approx(0.45, abs=1e-6)
    assert fit.fit.n_points == 3
    assert fit.temperatures_K == TS[:3]
    assert cut.conductivity.kind is Verdict.INDICATIVE
    assert "no line through both" in cut.conductivity.reason
    assert len(cut.points) == 6
    through = estimate_candidate(two_phases(0.0))
    assert Flag.PHASE_CHANGE not in through.flags
    assert through.activation_energy.value < 0.42


def test_the_hot_phase_is_fitted_for_a_hot_target():
    cut = estimate_candidate(two_phases(0.04), settings=TransportSettings(target_temperature_K=850.0))
    assert cut.activation_energy.value == pytest.approx(0.15, abs=1e-6)


def test_a_cold_phase_without_a_value_is_refused_not_bridged():
    runs = two_phases(0.04)[3:]
    cold = Estimate.refused("tracer_diffusivity", "sub-diffusive")
    e = estimate_candidate([measurement(500.0, cold, crystal(500.0)), *runs])
    assert e.conductivity.kind is Verdict.REFUSED
    assert "no line through both" in e.reason
    assert "sub-diffusive" in e.conductivity.reason


def test_configurations_vote():
    calm = [measurement(T, math.exp(-5.0 - 0.45 / (K * T)), crystal(T), "c1") for T in TS]
    calmer = [m.model_copy(update={"configuration_id": "c2"}) for m in calm]
    assert Flag.PHASE_CHANGE in estimate_candidate([*two_phases(0.04), *calm]).flags
    assert Flag.PHASE_CHANGE not in estimate_candidate([*two_phases(0.04), *calm, *calmer]).flags


def test_records_without_a_crystal_say_nothing():
    runs = [m.model_copy(update={"crystal": None}) for m in two_phases(0.04)]
    assert Flag.PHASE_CHANGE not in estimate_candidate(runs).flags
