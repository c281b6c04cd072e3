"""One run in, its transport out: the door of the room.

`measure` takes plain arrays and returns a `Transport`; `Transport.to_record` makes the `Measurement` that the pipeline
stores. It never raises for chemistry: a melted, motionless or very short run is an answer (a verdict with its reason).
It raises `InputError` when the arrays contradict each other or the request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve.records.estimate import Estimate
from ionsieve.records.measurement import CrystalState, Curve, Measurement
from ionsieve.transport.checks import check_continuous, check_input
from ionsieve.transport.diffusion import Diffusivity, diffusivity, judge
from ionsieve.transport.guards import he_relative_error
from ionsieve.transport.integrity import equilibration_summary, framework_integrity, polyanion_intact
from ionsieve.transport.intervals import rate_estimate
from ionsieve.transport.kernels.displacement import dipole, remove_breathing, remove_drift
from ionsieve.transport.kernels.msd import msd, msd_tensor
from ionsieve.transport.mechanism import describe_motion, rotation
from ionsieve.transport.nernst_einstein import conductivity, haven_ratio, inverse_haven_ratio
from ionsieve.transport.phases import crystal_state
from ionsieve.transport.settings import TransportSettings
from ionsieve.transport.sites import assign, displacement_hops, home_jumps, home_sites, jump_length, remove_blips
from ionsieve.units import CM2_PER_S_FROM_A2_PER_PS
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = ["Transport", "measure"]

Floats = NDArray[np.floating[Any]]
_CURVE_POINTS = 200
_SHARED = (
    "temperature_K",
    "mobile_ion",
    "mobile_charge",
    "n_mobile",
    "volume_A3",
    "length_ps",
    "tracer_diffusivity",
    "charge_diffusivity",
    "conductivity",
    "charge_conductivity",
    "inverse_haven_ratio",
    "hops",
    "n_eff",
    "fit_window_ps",
    "log_log_slope",
    "tensor_cm2_per_s",
    "framework_max_displacement_A",
    "drift_A",
    "lindemann",
    "polyanion_intact_fraction",
    "crystal",
    "mechanism",
    "verdict",
    "outcome",
    "reason",
    "flags",
)


@dataclass(frozen=True)
class Transport:
    """Transport of one run; field by field what `Measurement` stores, and the full arrays for plots.

    Attributes
    ----------
    tracer, charge
        `Diffusivity` of the mobile ions and of their dipole, with full MSD curves and fit windows.
    msd_tensor_A2
        (F, 3, 3), of the mobile ions.
    paths_A
        (F, N_mobile, 3): mobile ions in the time-averaged cell and the frame of the framework.
    """

    mobile_ion: str
    mobile_charge: int
    temperature_K: float
    n_mobile: int
    volume_A3: float
    length_ps: float
    dt_ps: float
    tracer_diffusivity: Estimate
    charge_diffusivity: Estimate
    conductivity: Estimate
    charge_conductivity: Estimate
    inverse_haven_ratio: Estimate
    haven_ratio: Estimate
    hops: int | None
    n_eff: float | None
    fit_window_ps: tuple[float, float] | None
    log_log_slope: float | None
    tensor_cm2_per_s: tuple[tuple[float, float, float], ...] | None
    framework_max_displacement_A: float | None
    drift_A: float | None
    lindemann: float | None
    polyanion_intact_fraction: float | None
    crystal: CrystalState
    mechanism: dict[str, Any]
    verdict: Verdict
    outcome: Outcome
    reason: str
    flags: tuple[Flag, ...]
    tracer: Diffusivity
    charge: Diffusivity
    msd_tensor_A2: Floats = field(repr=False)
    framework_msd_A2: Floats = field(repr=False)
    paths_A: Floats = field(repr=False)
    cell_A: Floats = field(repr=False)
    settings: TransportSettings = field(default_factory=TransportSettings)

    def to_record(
        self,
        *,
        run_id: str,
        configuration_id: str,
        candidate_id: str,
        mean_temperature_K: float | None = None,
        **more: Any,
    ) -> Measurement:
        """Return the `Measurement`; `more` overrides or adds fields (for example ``gates``)."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _SHARED}
        values |= {
            "run_id": run_id,
            "configuration_id": configuration_id,
            "candidate_id": candidate_id,
            "mean_temperature_K": mean_temperature_K,
            "msd": _curve(self.tracer, "MSD (Å²)"),
            "charge_msd": _curve(self.charge, "charge MSD per ion (Å²)"),
            "settings": self.settings.model_dump(mode="json"),
        }
        return Measurement(**(values | more))


def _curve(result: Diffusivity, label: str) -> Curve | None:
    """Thin a curve to at most 200 points, dense at short lags, up to 70 % of the run; errors inside the fit window."""
    last = int(0.7 * (len(result.msd_A2) - 1))
    if last < 2:
        return None
    points = np.unique(np.concatenate([[1], np.geomspace(1, last, 80).round(), np.linspace(1, last, 119).round()]))
    index = points.astype(int)[:_CURVE_POINTS]
    error: tuple[float | None, ...] = ()
    if result.window is not None and len(result.msd_error_A2):
        t = result.lags_ps[result.window.lags]
        lags = result.lags_ps[index]
        inside = (lags >= t[0]) & (lags <= t[-1])
        known = np.interp(lags, t, result.msd_error_A2)
        error = tuple(float(e) if yes else None for e, yes in zip(known, inside, strict=True))
    return Curve(
        x=tuple(float(x) for x in result.lags_ps[index]),
        y=tuple(float(y) for y in result.msd_A2[index]),
        error=error,
        x_label="lag (ps)",
        y_label=label,
    )


def measure(
    positions: ArrayLike,
    cells: ArrayLike,
    times_ps: ArrayLike,
    numbers: Sequence[int] | Sequence[str],
    *,
    mobile: str,
    charge: int,
    framework: Sequence[str] = (),
    temperature_K: float,
    charges: Mapping[str, float] | Sequence[float] | None = None,
    mobile_sites_A: ArrayLike | None = None,
    mobile_site_labels: Sequence[str] = (),
    polyanions: Sequence[tuple[str, str, float]] = (),
    energies_eV: ArrayLike | None = None,
    unwrapped: bool = False,
    settings: TransportSettings | None = None,
) -> Transport:
    """Measure diffusion, conductivity, mechanism and integrity of one run.

    Parameters
    ----------
    positions
        (F, N, 3) Å, continuous (unwrapped); see `ionsieve.transport.unwrap` for wrapped ones.
    cells
        (F, 3, 3) or (3, 3) Å, rows are lattice vectors. Affine changes of the cell count as no motion.
    times_ps
        (F,), evenly spaced.
    numbers
        (N,) atomic numbers or element symbols.
    mobile, charge
        Element that moves and its charge number z.
    framework
        Elements whose mass centre is the frame of reference. Empty: every element but the mobile one (noted in
        ``mechanism["framework"]``). Leave out what moves too, for example a second mobile species.
    temperature_K
        Of the run; enters Nernst-Einstein.
    charges
        Charge numbers per element or per atom for the charge diffusivity, which is the slope of the summed charge over
        their sum z² of the mobile ions. Without them only the mobile ions count, with `charge`.
    mobile_sites_A, mobile_site_labels
        (S, 3) Å, sites of the mobile ion in the cell of frame 0: for jumps and the jump length.
    polyanions
        (centre, ligand, cutoff Å) that must stay bonded.
    energies_eV
        (F,) potential energies, for the equilibration flag.
    unwrapped
        The paths are continuous although ions cross half the cell between frames; only what certainly is wrapped is
        refused then.

    Returns
    -------
    Transport

    Raises
    ------
    ProblemsError
        When the arrays or names contradict each other, all contradictions at once; when the positions are wrapped.
    """
    settings = settings or TransportSettings()
    given = check_input(
        positions,
        cells,
        times_ps,
        numbers,
        mobile=mobile,
        charge=charge,
        framework=framework,
        temperature_K=temperature_K,
        charges=charges,
        sites=mobile_sites_A,
        labels=mobile_site_labels,
        polyanions=polyanions,
        energies=energies_eV,
    )
    raw, h, times, z, symbols = given.positions, given.cells, given.times, given.numbers, given.symbols
    charge = int(charge)
    check_continuous(raw, h, vouched=unwrapped)
    names = np.asarray(symbols)
    is_mobile = names == mobile
    declared = tuple(framework) or tuple(dict.fromkeys(s for s in symbols if s != mobile))
    is_framework = np.isin(names, declared) if declared else np.zeros(len(names), dtype=bool)

    from ase.data import atomic_masses

    still = np.asarray(remove_breathing(raw, h))
    paths, drift = remove_drift(still, np.where(is_framework, atomic_masses[z], 0.0))
    cell = h if h.ndim == 2 else h.mean(axis=0)
    volume = float(abs(np.linalg.det(cell)))
    frames = len(paths)
    dt_ps = float((times[-1] - times[0]) / (frames - 1)) if frames > 1 else 0.0
    length = dt_ps * (frames - 1)
    mobile_paths = np.ascontiguousarray(paths[:, is_mobile])
    n_mobile = int(is_mobile.sum())
    flags: list[Flag] = []

    sites = given.sites
    if sites is not None and h.ndim == 3:
        sites = sites @ np.linalg.inv(h[0]) @ cell
    assignment = _assignment(mobile_paths, sites, cell, dt_ps, settings)
    home = None
    if assignment is not None and sites is not None:
        home = home_sites(assignment, mobile_site_labels, len(sites))
    hop_length = _jump_length(sites, home, cell, settings)

    tracer = diffusivity(mobile_paths, dt_ps, jump_length_A=hop_length, settings=settings)
    hops = _hops(mobile_paths, assignment, home, dt_ps, hop_length, settings)
    estimate = judge(tracer, hops=hops if sites is not None or tracer.value is None else None, settings=settings)

    moving_charge = dipole(paths, given.charges)
    total = float((given.charges[is_mobile] ** 2).sum())  # sum z² of the mobile ions, as they are given
    collective = diffusivity(
        moving_charge,
        dt_ps,
        jump_length_A=hop_length,
        settings=settings,
        window=tracer.window,
        normalisation=total,
        n_ions=n_mobile,
    )
    charge_estimate = _judge_charge(collective, estimate)

    ligands = {p[1] for p in polyanions}
    is_core = is_framework & ~np.isin(names, list(ligands)) if ligands else is_framework
    if not is_core.any():
        is_core = is_framework
    integrity = framework_integrity(
        paths[:, is_framework],
        paths[:, is_core],
        cell,
        dt_ps=dt_ps or 1.0,
        mobile_slope_A2_per_ps=tracer.fit.slope if tracer.fit else 0.0,
        settings=settings,
    )
    intact = polyanion_intact(raw, h, symbols, polyanions, stretch=settings.polyanion_stretch) if polyanions else None
    largest_drift = float(np.sqrt((np.asarray(drift) ** 2).sum(axis=1).max()))

    outcome, reason = Outcome.COMPLETED, ""
    if integrity.melted:
        outcome, reason = Outcome.MELTED, integrity.reason
    elif intact is not None and intact[0] < settings.polyanion_intact_min and intact[2] > 0:
        outcome = Outcome.POLYANION_BROKEN
        reason = (
            f"polyanions kept their ligands in {100 * intact[0]:.1f} % of the frames; {intact[2]} bonds open at the end"
        )
    elif intact is not None and intact[0] < settings.polyanion_intact_min:
        flags.append(Flag.POLYANION_STRAINED)
    if integrity.moving:
        flags.append(Flag.FRAMEWORK_MOVING)
    if largest_drift > settings.drift_max_A:
        flags.append(Flag.DRIFT_LARGE)
    mechanism: dict[str, Any] = {
        "framework": list(declared),
        "jump_length_A": hop_length,
        "he_relative_error": he_relative_error(tracer.n_eff) if tracer.n_eff > 0 else None,
        "hop_method": "sites" if sites is not None else "displacement",
    }
    mechanism |= describe_motion(
        mobile_paths,
        dt_ps=dt_ps,
        assignment=assignment,
        sites_A=sites,
        cell_A=cell,
        labels=mobile_site_labels,
        temperature_K=temperature_K,
        tracer_cm2_per_s=estimate.value if estimate.is_value else None,
        window_ps=settings.cooperative_window_ps,
        distance_A=settings.cooperative_distance_A,
    )
    if polyanions and dt_ps > 0.0:
        mechanism["rotation"] = rotation(raw, h, symbols, polyanions, dt_ps=dt_ps)
    equilibration = equilibration_summary(given.energies, h, times, n_atoms=len(names))
    mechanism |= equilibration
    slope, error = equilibration.get("energy_drift_meV_per_atom_per_ps"), equilibration.get("energy_drift_error")
    if slope is not None and error is not None:
        late = equilibration.get("equilibrated_from_fraction", 0.0) > settings.equilibrated_by_fraction
        large = abs(slope) > settings.energy_drift_max_meV_per_atom_per_ps
        large = large or abs(slope) * length > settings.energy_drift_max_meV_per_atom
        if large and abs(slope) > (2.0 if late else 3.0) * error:
            flags.append(Flag.NOT_EQUILIBRATED)
    mechanism |= _errors(tracer)
    curve_tensor = np.asarray(msd_tensor(mobile_paths)) if frames > 1 else np.zeros((frames, 3, 3))
    tensor = _tensor(curve_tensor, tracer) if estimate.is_value and outcome is Outcome.COMPLETED else None
    if tensor is not None:
        values, axes = np.linalg.eigh(np.asarray(tensor))
        mechanism["principal_diffusivities_cm2_per_s"] = values.tolist()
        mechanism["principal_axes"] = axes.T.tolist()

    if outcome is not Outcome.COMPLETED:
        estimate = Estimate.refused("tracer_diffusivity", reason, flags=estimate.flags)
        charge_estimate = Estimate.refused("charge_diffusivity", reason)
    inverse = inverse_haven_ratio(
        (tracer.value, tracer.error) if tracer.value is not None and tracer.error is not None else None,
        (collective.value, collective.error) if collective.value is not None and collective.error is not None else None,
        tracer_is_value=estimate.is_value,
    )
    common: dict[str, Any] = {
        "count": n_mobile,
        "charge": charge,
        "volume_A3": volume,
        "temperature_K": temperature_K,
    }
    return Transport(
        mobile_ion=mobile,
        mobile_charge=charge,
        temperature_K=temperature_K,
        n_mobile=n_mobile,
        volume_A3=volume,
        length_ps=length,
        dt_ps=dt_ps,
        tracer_diffusivity=estimate,
        charge_diffusivity=charge_estimate,
        conductivity=conductivity(estimate, **common, quantity="conductivity"),
        charge_conductivity=conductivity(
            charge_estimate, **(common | {"charge": math.sqrt(total / n_mobile)}), quantity="charge_conductivity"
        ),
        inverse_haven_ratio=inverse,
        haven_ratio=haven_ratio(inverse, max_relative_error=settings.haven_max_relative_error),
        hops=hops,
        n_eff=tracer.n_eff if tracer.value is not None else None,
        fit_window_ps=tracer.window_ps,
        log_log_slope=tracer.beta,
        tensor_cm2_per_s=tensor,
        framework_max_displacement_A=integrity.max_displacement_A,
        drift_A=largest_drift,
        lindemann=integrity.lindemann,
        polyanion_intact_fraction=intact[0] if intact else None,
        crystal=crystal_state(
            paths[:, is_core],
            names[is_core].tolist(),
            cell,
            n_atoms=len(names),
            energies_eV=given.energies,
            times_ps=times,
        ),
        mechanism=mechanism,
        verdict=estimate.kind,
        outcome=outcome,
        reason=reason or (estimate.reason if not estimate.is_value else ""),
        flags=tuple(dict.fromkeys((*estimate.flags, *flags))),
        tracer=tracer,
        charge=collective,
        msd_tensor_A2=curve_tensor,
        framework_msd_A2=np.asarray(msd(paths[:, is_framework]))
        if is_framework.any() and frames > 1
        else np.zeros(frames),
        paths_A=mobile_paths,
        cell_A=cell,
        settings=settings,
    )


def _assignment(
    paths: Floats, sites: Floats | None, cell: Floats, dt_ps: float, settings: TransportSettings
) -> NDArray[np.int64] | None:
    if sites is None or len(paths) < 2 or dt_ps <= 0.0:
        return None
    path = assign(paths, sites, cell, hysteresis=settings.site_hysteresis)
    return remove_blips(path, round(settings.min_residence_ps / dt_ps))


def _jump_length(
    sites: Floats | None,
    home: NDArray[np.bool_] | None,
    cell: Floats,
    settings: TransportSettings,
) -> float:
    """Return the setting, else the distance between home sites (between all when there is one home), else a default."""
    if settings.jump_length_A is not None:
        return settings.jump_length_A
    if sites is None:
        return settings.default_jump_length_A
    between_homes = jump_length(sites[home], cell) if home is not None else None
    if between_homes is None:
        between_homes = jump_length(sites, cell)
    return between_homes or settings.default_jump_length_A


def _hops(
    paths: Floats,
    assignment: NDArray[np.int64] | None,
    home: NDArray[np.bool_] | None,
    dt_ps: float,
    hop_length: float,
    settings: TransportSettings,
) -> int | None:
    if assignment is not None and home is not None:
        return home_jumps(assignment, home)
    if len(paths) < 2 or dt_ps <= 0.0:
        return None
    smooth = max(1, round(settings.min_lag_ps / dt_ps))
    return displacement_hops(paths, jump_length_A=hop_length, smooth_frames=smooth)


def _judge_charge(result: Diffusivity, tracer: Estimate) -> Estimate:
    key = "charge_diffusivity"
    if not tracer.is_value:
        return Estimate.refused(key, "the tracer diffusivity is not measured: " + tracer.reason, flags=tracer.flags)
    if result.value is None or result.error is None or result.value <= 0.0:
        return Estimate.refused(key, result.reason or "the collective displacement does not grow in the fit window")
    relative = result.error / result.value
    if relative > 2.0:
        return Estimate.refused(key, f"one run leaves it uncertain by {100 * relative:.0f} %")
    return rate_estimate(
        key,
        result.value,
        result.error,
        kind=Verdict.INDICATIVE if relative > 0.5 or tracer.kind is Verdict.INDICATIVE else Verdict.VALUE,
        method="gls",
        n_eff=(1.0 / relative) ** 2,
    )


def _tensor(curve: Floats, tracer: Diffusivity) -> tuple[tuple[float, float, float], ...] | None:
    """Half the slope of every component with the weights of the fit, so that the trace is 3 D."""
    if tracer.window is None or tracer.fit is None:
        return None
    slopes = np.einsum("k,kij->ij", tracer.fit.slope_weights, curve[tracer.window.lags])
    tensor = slopes / 2.0 * CM2_PER_S_FROM_A2_PER_PS
    return tuple((float(r[0]), float(r[1]), float(r[2])) for r in tensor)


def _errors(tracer: Diffusivity) -> dict[str, Any]:
    return {
        "gls_error_cm2_per_s": tracer.gls_error,
        "block_error_cm2_per_s": tracer.block_error,
        "ion_error_cm2_per_s": tracer.ion_error,
        "log_log_slope_error": tracer.beta_error,
        "cage_offset_A2": tracer.fit.intercept if tracer.fit else None,
    }
