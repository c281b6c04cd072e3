"""What `transport` is told: windows, gates and priors, each with the reason for its default.

Every default can be argued from a published protocol or from the calibration test of this room
(``tests/physics/test_calibration.py``); the reason stands in the field's description
and in ``docs/theory/transport.md``.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ionsieve.records.base import Frozen

__all__ = ["FIT", "MEASURE", "RUNNING_ERROR", "TransportSettings"]


class TransportSettings(Frozen):
    """Settings of measuring one run and of fitting one candidate."""

    target_temperature_K: float = Field(
        300.0, gt=0.0, le=5000.0, description="Temperature of use, to which conductivities are carried."
    )

    # ---- the fit window -------------------------------------------------------------------------------------------
    min_lag_ps: float = Field(
        1.0,
        gt=0.0,
        description="Shortest lag ever fitted: rattling in the cage decays within about 1 ps (phonons above 1 THz).",
    )
    jump_length_A: float | None = Field(
        None,
        gt=0.0,
        description="Jump distance a. Unset: shortest distance between well-occupied mobile sites above 1.5 Å, else "
        "`default_jump_length_A`.",
    )
    default_jump_length_A: float = Field(
        3.0,
        gt=0.0,
        description="Jump distance when no sites are known; published: LLZO 2.4, LGPS 2.8, LATP 3.2, RbAg4I5 3.4 "
        "(He, Zhu, Epstein, Mo 2018).",
    )
    stop_jump_length_A: float = Field(
        4.5,
        gt=0.0,
        description="Jump distance by which a running simulation judges whether its diffusivity is known, when "
        "`jump_length_A` is unset. It knows no sites; longer than the distances between home sites, so that no run "
        "ends that the measurement then calls indicative.",
    )
    window_start_gain: float = Field(
        0.5,
        ge=0.0,
        description="The window starts where the MSD has grown by this many a² above the cage plateau (He 2018).",
    )
    window_start_max_fraction: float = Field(
        0.1,
        gt=0.0,
        lt=0.5,
        description="... but not later than this part of the run: a later start throws away what resolves rare jumps "
        "(calibration: at 50 jumps the true spread grows from 16 to 25 % between a start at 0.01 and at 0.25).",
    )
    window_end_fraction: float = Field(
        0.5, gt=0.1, le=0.9, description="The window ends at this part of the run (He 2018 library: 0.5)."
    )
    n_lags: int = Field(100, ge=4, le=1000, description="Lags in the window, evenly spaced.")
    origin_stride_per_lag: int = Field(
        8,
        ge=1,
        description="Variances use every (lag / this)-th origin: closer ones are nearly one sample. Means use all.",
    )
    beta_low: float = Field(0.85, gt=0.0, description="Log-log slope below which a window counts as sub-diffusive.")
    beta_refused: float = Field(
        0.4, ge=0.0, description="Log-log slope below which (by two standard errors) no diffusivity is given at all."
    )

    # ---- error guards ---------------------------------------------------------------------------------------------
    n_blocks: int = Field(5, ge=3, description="Time blocks of the independent error estimate.")
    disagreement_factor: float = Field(
        2.0,
        gt=1.0,
        description="When block or ion-to-ion errors exceed the GLS error by this factor, the larger one is reported; "
        "by chance the ratio of a 5-block error exceeds 2 in 0.3 % of runs.",
    )

    # ---- gates by the number of jumps -----------------------------------------------------------------------------
    upper_limit_below_n_eff: float = Field(
        8.0,
        ge=0.0,
        description="Fewer effective jumps give an upper limit only. The calibrated intervals still hold there (0.69 "
        "and 0.91 to 0.96 of the runs, error 36 %); He 2018 stops at 20, where its rule claims 80 %.",
    )
    indicative_below_n_eff: float = Field(
        55.0, ge=0.0, description="Fewer effective jumps are indicative (relative error above 50 % by He 2018)."
    )
    haven_max_relative_error: float = Field(
        0.5, gt=0.0, description="The Haven ratio is shown only below this relative error of 1/H."
    )

    # ---- integrity ------------------------------------------------------------------------------------------------
    framework_max_displacement_A: float = Field(
        5.0, gt=0.0, description="A framework ion further from its start than this means melting (Mo group)."
    )
    lindemann_max: float = Field(
        0.15, gt=0.0, description="Root-mean-square framework amplitude over its nearest-neighbour distance at melting."
    )
    framework_slope_ratio_max: float = Field(
        0.02, gt=0.0, description="Framework diffusivity over mobile diffusivity above which the framework flows."
    )
    framework_gain_A2: float = Field(
        2.0, gt=0.0, description="Growth of the framework MSD in the window (about half a squared bond) that is flow."
    )
    drift_max_A: float = Field(3.0, gt=0.0, description="Rigid drift of the framework that is flagged (Mo group).")
    polyanion_intact_min: float = Field(
        0.99, gt=0.0, le=1.0, description="Part of the frames in which a polyanion must keep its ligands."
    )
    polyanion_stretch: float = Field(
        1.35, gt=1.0, description="A bond is broken beyond this many times its usual length and mended below 1.2 times."
    )
    energy_drift_max_meV_per_atom_per_ps: float = Field(
        1.0, gt=0.0, description="Potential-energy drift in production above which the run is not equilibrated."
    )
    energy_drift_max_meV_per_atom: float = Field(
        8.0,
        gt=0.0,
        description="The same for the drift over the whole run: what 60 K change the potential energy of a crystal.",
    )

    equilibrated_by_fraction: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="When the energy becomes stationary later than this part of the run, a drift of two instead of "
        "three standard errors raises NOT_EQUILIBRATED.",
    )

    # ---- jumps ----------------------------------------------------------------------------------------------------
    site_hysteresis: float = Field(
        0.6,
        gt=0.0,
        lt=1.0,
        description="An ion has jumped when its distance to the new site is below this part of that to the old one.",
    )
    min_residence_ps: float = Field(
        0.1, ge=0.0, description="Visits shorter than this and undone at once are not counted as jumps."
    )
    cooperative_window_ps: float = Field(
        1.0,
        gt=0.0,
        description="Jumps of different ions within this time and `cooperative_distance_A` are cooperative.",
    )
    cooperative_distance_A: float = Field(4.5, gt=0.0, description="See `cooperative_window_ps`.")

    # ---- Arrhenius ------------------------------------------------------------------------------------------------
    min_temperatures: int = Field(4, ge=2, description="Temperatures from which the straight line can be checked.")
    min_inverse_span_per_K: float = Field(
        0.7e-3, gt=0.0, description="Span of 1/T for a firm activation energy (for example 600 to 1050 K)."
    )
    curvature_sigmas: float = Field(
        2.0, gt=0.0, description="Quadratic term, in standard errors, that vetoes the line."
    )
    assumed_Ea_eV: float = Field(
        0.35,
        gt=0.0,
        description="Activation energy used when the temperatures do not give one; centre of the published sodium and "
        "lithium conductors of these families (0.2 to 0.5 eV).",
    )
    assumed_Ea_std_eV: float = Field(0.12, gt=0.0, description="Its standard deviation.")
    lowest_Ea_eV: float = Field(
        0.10,
        ge=0.0,
        description="Lowest activation energy of any known crystal, from ln D or ln(sigma T): alpha-AgI and RbAg4I5, "
        "about 0.1 eV (S. Hull, Rep. Prog. Phys. 2004, 10.1088/0034-4885/67/7/R05). A fitted one below is refused; "
        "upper limits are carried to lower temperatures with it.",
    )
    configuration_spread_ln: float = Field(
        0.3,
        ge=0.0,
        description="Standard deviation of ln D between orderings of one composition, assumed for one configuration "
        "and mixed with the measured one for a few.",
    )
    configuration_spread_weight: float = Field(
        2.0, ge=0.0, description="Degrees of freedom that the assumed spread counts for beside the measured one."
    )
    # ---- phases: what ends a straight line between neighbouring temperatures ---------------------------------------
    phase_volume_percent: float = Field(
        1.0,
        gt=0.0,
        description="Jump of the volume per atom, beyond thermal expansion, that tells two phases apart; first-order "
        "transitions between solids change it by 1 to 10 %.",
    )
    phase_expansion_per_K: float = Field(
        1.5e-4,
        gt=0.0,
        description="Largest volume expansion of one crystal (soft halides and sulfides: 0.9e-4 to 1.4e-4 per K).",
    )
    phase_shape: float = Field(
        0.02,
        gt=0.0,
        description="Change of the cell's shape (largest strain left after the volume) that tells two phases apart.",
    )
    phase_heat_ratio: float = Field(
        0.5,
        gt=0.0,
        description="Potential energy gained between two temperatures beyond the classical crystal's 3/2 k per atom, "
        "as a part of it: above this there is a latent heat.",
    )
    phase_core_shift: float = Field(
        0.15,
        gt=0.0,
        description="Root-mean-square change of the mean framework positions over their spacing that tells two phases "
        "apart (the Lindemann length: beyond it an ion sits elsewhere).",
    )
    phase_order_ratio: float = Field(
        1.6,
        gt=1.0,
        description="Growth of the Lindemann ratio beyond that of vibration (root T) that is a loss of order.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.window_start_max_fraction >= self.window_end_fraction:
            raise ValueError("window_start_max_fraction must lie below window_end_fraction")
        if self.upper_limit_below_n_eff > self.indicative_below_n_eff:
            raise ValueError("upper_limit_below_n_eff must not exceed indicative_below_n_eff")
        return self


#: What each question depends on: these alone stand in its address, so that another fit repeats no measurement and
#: another measurement no dynamics. A setting may stand in several.
FIT = frozenset(
    {
        "target_temperature_K",
        "min_temperatures",
        "min_inverse_span_per_K",
        "curvature_sigmas",
        "assumed_Ea_eV",
        "assumed_Ea_std_eV",
        "lowest_Ea_eV",
        "configuration_spread_ln",
        "configuration_spread_weight",
        "phase_volume_percent",
        "phase_expansion_per_K",
        "phase_shape",
        "phase_heat_ratio",
        "phase_core_shift",
        "phase_order_ratio",
        "lindemann_max",
    }
)
MEASURE = (frozenset(TransportSettings.model_fields) - FIT - {"stop_jump_length_A"}) | {"lindemann_max"}
#: How well the diffusivity of a run under way is known (`relative_error`), which may end it.
RUNNING_ERROR = frozenset(
    {
        "min_lag_ps",
        "jump_length_A",
        "stop_jump_length_A",
        "window_start_gain",
        "window_start_max_fraction",
        "window_end_fraction",
        "beta_low",
        "beta_refused",
        "disagreement_factor",
        "upper_limit_below_n_eff",
        "indicative_below_n_eff",
    }
)
