"""Measurement and CandidateEstimate: what `transport` makes."""

from __future__ import annotations

from typing import Any, ClassVar

from ionsieve.records.base import Frozen, Record
from ionsieve.records.estimate import Estimate
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = ["ArrheniusFit", "CandidateEstimate", "CrystalState", "Curve", "GateMotion", "Measurement"]


class Curve(Frozen):
    """A small curve kept for plots: x, y and optionally its standard error (None where unknown), with their labels."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float | None, ...] = ()
    x_label: str = ""
    y_label: str = ""


class GateMotion(Frozen):
    """One jump's bottleneck along a trajectory: mean and quantiles over time and gates of that kind."""

    jump: str
    area_mean_A2: float
    area_q05_A2: float
    area_q95_A2: float
    free_radius_mean_A: float
    free_radius_q05_A: float
    free_radius_q95_A: float
    open_fraction: float
    jump_correlation: float | None = None


class CrystalState(Frozen):
    """Mean crystal of one run, by which phases at different temperatures are told apart.

    `core_fractional` are the time-averaged positions of the framework's ions without turning ligands, in the frame of
    the framework; their common origin has no meaning.
    """

    volume_per_atom_A3: float
    lengths_A: tuple[float, float, float]
    angles_deg: tuple[float, float, float]
    energy_eV_per_atom: float | None = None
    energy_error_eV_per_atom: float | None = None
    core_symbols: tuple[str, ...] = ()
    core_fractional: tuple[tuple[float, float, float], ...] = ()


class Measurement(Record):
    """Transport of one run.

    `tracer_diffusivity`, `charge_diffusivity`, `conductivity` and `charge_conductivity` are at the run's temperature.
    """

    SCHEMA: ClassVar[int] = 1

    run_id: str
    configuration_id: str
    candidate_id: str
    temperature_K: float
    mean_temperature_K: float | None = None
    mobile_ion: str
    mobile_charge: int
    n_mobile: int
    volume_A3: float
    length_ps: float
    tracer_diffusivity: Estimate
    charge_diffusivity: Estimate
    conductivity: Estimate
    charge_conductivity: Estimate
    inverse_haven_ratio: Estimate
    hops: int | None = None
    n_eff: float | None = None
    fit_window_ps: tuple[float, float] | None = None
    log_log_slope: float | None = None
    tensor_cm2_per_s: tuple[tuple[float, float, float], ...] | None = None
    framework_max_displacement_A: float | None = None
    drift_A: float | None = None
    lindemann: float | None = None
    polyanion_intact_fraction: float | None = None
    msd: Curve | None = None
    charge_msd: Curve | None = None
    gates: tuple[GateMotion, ...] = ()
    crystal: CrystalState | None = None
    mechanism: dict[str, Any] = {}
    verdict: Verdict = Verdict.VALUE
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    settings: dict[str, Any] = {}


class ArrheniusFit(Frozen):
    """ln D = ln D0 - Ea/kT, fitted with the full covariance.

    `covariance` is that of (ln D0 [D0 in cm²/s], Ea [eV]), row by row.
    """

    ln_D0: float
    Ea_eV: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    n_points: int
    n_censored: int = 0
    chi2_per_dof: float | None = None
    leave_one_out_Ea_eV: tuple[float, float] | None = None
    convention: str = "ln D against 1/T (equally ln(sigma T)); an impedance Ea from ln sigma is about kT smaller"


class CandidateEstimate(Record):
    """All that MD says about one candidate, carried to the temperature of use."""

    SCHEMA: ClassVar[int] = 1

    candidate_id: str
    mobile_ion: str
    n_configurations: int
    n_runs: int
    target_temperature_K: float
    activation_energy: Estimate
    conductivity: Estimate
    tracer_diffusivity: Estimate
    ln_sigma_mean: float | None = None
    ln_sigma_std: float | None = None
    arrhenius: ArrheniusFit | None = None
    points: tuple[tuple[float, Estimate], ...] = ()
    conductivity_points: tuple[tuple[float, Estimate], ...] = ()
    inverse_haven_ratio: Estimate | None = None
    total_length_ps: float = 0.0
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    settings: dict[str, Any] = {}
