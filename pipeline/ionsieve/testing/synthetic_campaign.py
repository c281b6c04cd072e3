# ruff: noqa: E501  (tables of made-up numbers read better in one line)
"""A campaign of made-up numbers in real records: for tests of ranking and report, for demonstrations, never for science.

Structures are real prototypes with random substitutions; conductivities follow drawn Arrhenius laws. Everything is drawn
from counter-based streams, so the same seed gives the same campaign.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ionsieve import __version__, rng, units
from ionsieve.ranking import RankingSettings, rank
from ionsieve.records import (
    ArrheniusFit,
    Candidate,
    CandidateEstimate,
    Check,
    Configuration,
    CrystalStructure,
    Curve,
    Estimate,
    FileReference,
    Gate,
    GateMotion,
    Measurement,
    PotentialIdentity,
    RelaxedConfiguration,
    Run,
    RunRecord,
    RunSummary,
    SiteChange,
    StaticDescriptors,
)
from ionsieve.report.source import CampaignResults, Density, Event
from ionsieve.resources import data_folder
from ionsieve.verdicts import Flag, Outcome, Verdict

__all__ = ["synthetic_campaign"]

TEMPERATURES_K = (700.0, 850.0, 1000.0, 1200.0)
TARGET_K = 300.0
POTENTIAL = PotentialIdentity(name="synthetic", sha256="0" * 64, version="0")
Matrix = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True)
class _Kind:
    prototype: str
    family: str
    repeat: tuple[int, int, int]
    host: str
    dopants: tuple[tuple[str, int], ...]  # symbol and number of Na removed for each dopant
    Ea_eV: float
    log10_D0: float
    gates: tuple[tuple[str, tuple[str, ...], float], ...]  # jump, anions, free radius
    framework: tuple[str, ...]


_KINDS = (
    _Kind(
        "Na3PS4_P-421c", "sulfide", (2, 2, 2), "S", (("Cl", 1), ("Br", 1), ("I", 1), ("Se", 0), ("O", 0)), 0.26, -3.2,
        (("Na1-Na2", ("S", "S", "S"), 0.62), ("Na1-Na3", ("S", "S", "S", "S"), 0.78)), ("P", "S"),
    ),
    _Kind(
        "Na4Zr2Si3O12_R-3c", "nasicon", (1, 1, 1), "Zr", (("Nb", 1), ("Ta", 1), ("Hf", 0), ("Ti", 0), ("Sn", 0)), 0.33,
        -3.1, (("Na1-Na2", ("O", "O", "O"), 0.71), ("Na2-Na2", ("O", "O", "O", "O"), 0.44)), ("Zr", "Si", "O"),
    ),
    _Kind(
        "Na3OCl_Pm-3m", "antiperovskite", (3, 3, 3), "Na", (("Mg", 1), ("Ca", 1), ("Sr", 1), ("Ba", 1)), 0.42, -2.9,
        (("Na1-Na1", ("O", "Cl", "Cl"), 0.35),), ("O", "Cl"),
    ),
)  # fmt: skip


@lru_cache(maxsize=8)
def _prototype(name: str, repeat: tuple[int, int, int]) -> CrystalStructure:
    from pymatgen.core import Structure

    structure = Structure.from_file(data_folder("structures") / f"{name}.cif", merge_tol=0.01)
    ordered = [site for site in structure if site.species.num_atoms > 0.5]
    structure = Structure(
        structure.lattice,
        [max(site.species.items(), key=lambda pair: pair[1])[0].symbol for site in ordered],
        [site.frac_coords for site in ordered],
    )
    return CrystalStructure.from_pymatgen(structure.make_supercell(repeat))


def _doped(kind: _Kind, dopant: str, removed: int, count: int, stream: np.random.Generator) -> CrystalStructure:
    host = _prototype(kind.prototype, kind.repeat)
    symbols = list(host.symbols)
    sites = [i for i, s in enumerate(symbols) if s == kind.host]
    chosen = {int(i) for i in stream.choice(sites, size=count, replace=False)} if count else set()
    sodium = [i for i, s in enumerate(symbols) if s == "Na" and i not in chosen]
    gone = {int(i) for i in stream.choice(sodium, size=removed * count, replace=False)} if removed * count else set()
    keep = [i for i in range(len(symbols)) if i not in gone]
    return CrystalStructure(
        lattice_A=host.lattice_A,
        symbols=tuple(dopant if i in chosen else symbols[i] for i in keep),
        positions_A=tuple(tuple(round(x, 4) for x in host.positions_A[i]) for i in keep),
    )


def _composition(structure: CrystalStructure, formula_units: int) -> tuple[dict[str, float], str]:
    order = [
        "Li",
        "Na",
        "K",
        "Mg",
        "Ca",
        "Sr",
        "Ba",
        "Zr",
        "Hf",
        "Ti",
        "Sn",
        "Nb",
        "Ta",
        "Si",
        "P",
        "S",
        "Se",
        "O",
        "Cl",
    ]
    counts: dict[str, int] = {}
    for symbol in structure.symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    place = {s: i for i, s in enumerate(order)}
    ordered = sorted(counts, key=lambda s: (place.get(s, len(order)), s))
    amounts = {s: round(counts[s] / formula_units, 4) for s in ordered}
    return amounts, "".join(f"{s}{'' if v == 1 else f'{v:.3f}'.rstrip('0').rstrip('.')}" for s, v in amounts.items())


def _estimate(key: str, value: float, relative: float, **more: object) -> Estimate:
    return Estimate.model_validate(
        {
            "quantity": key, "kind": Verdict.INDICATIVE if relative > 0.45 else Verdict.VALUE, "value": value,
            "low68": value * math.exp(-relative), "high68": value * math.exp(relative),
            "low95": value * math.exp(-1.96 * relative), "high95": value * math.exp(1.96 * relative),
            "method": "gls", **more,
        }
    )  # fmt: skip


def _limit(key: str, value: float) -> Estimate:
    return Estimate(quantity=key, kind=Verdict.UPPER_LIMIT, value=value, method="rule of three", flags=(Flag.NO_HOPS,))


def _msd(D: float, temperature_K: float, length_ps: float, n_mobile: int, stream: np.random.Generator) -> Curve:
    times = np.geomspace(0.2, length_ps * 0.6, 40)
    vibration = 0.25 * temperature_K / 300.0 * (1 - np.exp(-times / 0.3))
    slope = 6 * D * 1e4 * times  # 1 cm²/s is 1e4 Å²/ps
    error = (slope + 0.02) * np.sqrt(times / length_ps / 2) * 1.5 / math.sqrt(n_mobile / 10)
    y = vibration + slope + np.cumsum(stream.normal(size=len(times))) * error * 0.1
    return Curve(
        x=tuple(round(float(t), 4) for t in times),
        y=tuple(round(float(max(v, 1e-3)), 5) for v in y),
        error=tuple(round(float(e), 5) for e in error),
        x_label="lag (ps)",
        y_label="MSD (Å²)",
    )


def _static(kind: _Kind, configuration_id: str, shift: float) -> StaticDescriptors:
    gates = tuple(
        Gate(
            jump=jump, anions=anions, area_A2=round(5.0 + 1.2 * len(anions) + 3 * (radius + shift), 4),
            circumradius_A=round(radius + shift + 1.8, 4), free_radius_A=round(radius + shift, 4),
            position_A=(3.0 + i, 3.0, 3.0), path_fraction=0.5, jump_length_A=3.4 + 0.2 * i, multiplicity=12,
        )
        for i, (jump, anions, radius) in enumerate(kind.gates)
    )  # fmt: skip
    widest = max(g.free_radius_A for g in gates)
    closed = widest < 0.32
    return StaticDescriptors(
        configuration_id=configuration_id, mobile_ion="Na", included_sphere_A=round(2 * widest + 1.4, 3),
        free_sphere_A=round(2 * widest, 3), included_along_free_A=round(2 * widest + 1.2, 3),
        percolation_radius_A=(round(widest, 3), round(widest - 0.03, 3), round(widest - 0.05, 3)),
        percolation_axes=(True, True, not closed), gates=gates, ion_radius_A=1.02,
        outcome=Outcome.SIEVED if closed else Outcome.COMPLETED,
        reason=f"the widest path has a free radius of {widest:.2f} Å; the sieve asks for 0.32 Å" if closed else "",
        flags=(Flag.CLOSED_CHANNELS,) if closed else (),
    )  # fmt: skip


def _recipes(n: int) -> Iterator[tuple[_Kind, str, int, int]]:
    count = 0
    for dose in range(40):
        for kind in _KINDS:
            for number, (dopant, removed) in enumerate(kind.dopants):
                if dose == 0 and number:
                    continue
                if count == n:
                    return
                count += 1
                yield kind, dopant, removed, dose


def synthetic_campaign(n: int = 24, *, seed: int = 1, settings: RankingSettings | None = None) -> CampaignResults:
    """Return a campaign of `n` candidates of three families: measured, bounded, melted, refused, sieved and waiting ones."""
    candidates: list[Candidate] = []
    configurations: list[Configuration] = []
    descriptors: list[StaticDescriptors] = []
    relaxed: list[RelaxedConfiguration] = []
    runs: list[RunRecord] = []
    measurements: list[Measurement] = []
    estimates: list[CandidateEstimate] = []
    densities: dict[str, Density] = {}
    for index, (kind, dopant, removed, count) in enumerate(_recipes(n)):
        stream = rng.generator("synthetic", seed, index)
        structure = _doped(kind, dopant, removed, count, stream)
        units_in_cell = {"Na3PS4_P-421c": 2, "Na4Zr2Si3O12_R-3c": 6, "Na3OCl_Pm-3m": 1}[kind.prototype] * math.prod(
            kind.repeat
        )
        amounts, formula = _composition(structure, units_in_cell)
        name = kind.prototype + ("" if not count else f"--{dopant}_{kind.host}-{count / units_in_cell:.4f}")
        refused = index % 17 == 11
        candidate = Candidate(
            candidate_id=name, prototype=kind.prototype, family=kind.family, mobile_ion="Na", mobile_charge=1,
            target_formula=formula, realised_formula="" if refused else formula, composition=amounts, undoped=not count,
            changes=(
                SiteChange(site=f"{kind.host}1", before={kind.host: 1.0}, after={kind.host: 1 - count / units_in_cell, dopant: count / units_in_cell}),
            ) if count else (),
            compensation="na_vacancy" if removed and count else "none",
            compensation_reason=f"{dopant} brings charge; one Na leaves for each." if removed and count else "",
            supercell=tuple(tuple(kind.repeat[i] if i == j else 0 for j in range(3)) for i in range(3)),
            n_atoms=len(structure), formula_units=units_in_cell, min_image_A=12.1, composition_error=0.004,
            framework=kind.framework, polyanions=(("P", "S", 2.05),) if kind.family == "sulfide" else (),
            outcome=Outcome.NOT_NEUTRAL if refused else Outcome.COMPLETED,
            reason=f"{dopant} on {kind.host} leaves a charge that no named mechanism balances in this cell; allow vacancies of Na or a second dopant"
            if refused else "",
            flags=(Flag.RADIUS_MISMATCH,) if dopant in ("Ba", "I") and count else (),
            provenance={"seed": seed},
        )  # fmt: skip
        candidates.append(candidate)
        if refused:
            continue
        configuration = Configuration(
            configuration_id=f"{name}--c0", candidate_id=name, index=0, structure=structure, method="random", seed=seed,
            ewald_energy_eV=round(-30.0 * len(structure) / 8, 3), degeneracy=3,
            mobile_sites_A=tuple(p for p, s in zip(structure.positions_A, structure.symbols, strict=True) if s == "Na"),
            checks=(
                Check(name="charge", passed=True, value=0.0, unit="e", bounds="|q| < 0.01"),
                Check(name="shortest distance", passed=True, value=2.05, unit="Å", bounds="> 1.5"),
            ),
        )  # fmt: skip
        configurations.append(configuration)
        described = _static(
            kind, configuration.configuration_id, float(stream.normal(0, 0.06)) - (0.05 if dopant == "I" else 0)
        )
        descriptors.append(described)
        if described.outcome is Outcome.SIEVED or index % 19 == 18:
            continue
        change = float(stream.normal(2.0, 2.5))
        relaxed.append(
            RelaxedConfiguration(
                configuration_id=configuration.configuration_id, candidate_id=name, structure=structure, potential=POTENTIAL,
                cell_policy="relaxed", energy_eV=-4.4 * len(structure), energy_start_eV=-4.39 * len(structure),
                max_force_eV_per_A=0.008, volume_change_percent=round(change, 2), steps=61,
                flags=(Flag.LARGE_VOLUME,) if abs(change) > 5 else (), seconds=42.0,
            )
        )  # fmt: skip
        _simulate(kind, candidate, configuration, stream, index, runs, measurements, estimates)
        if index < 12:
            densities[name] = _density(structure, stream)
    ranking = rank(
        estimates,
        candidates={c.candidate_id: c for c in candidates},
        descriptors={d.configuration_id: d for d in descriptors},
        measurements=measurements,
        settings=settings or RankingSettings(),
        campaign="synthetic",
    )
    return CampaignResults(
        name="synthetic",
        ranking=ranking,
        folder="",
        campaign={"name": "synthetic", "description": "Made-up numbers that show the page.", "seed": seed},
        candidates=tuple(candidates), configurations=tuple(configurations), descriptors=tuple(descriptors),
        relaxed=tuple(relaxed), runs=tuple(runs), measurements=tuple(measurements), estimates=tuple(estimates),
        densities=densities, potential=POTENTIAL, versions={"ionsieve": __version__}, report_versions={"ionsieve": __version__},
        cost={"simulated_ps": sum(r.summary.length_ps for r in runs if r.summary), "runs": float(len(runs)), "device_hours": 3.2},
        progress={"done": len(runs), "waiting": 0},
        events=(Event("2026-01-01T00:00:00Z", "started", "campaign", "The campaign began."),),
    )  # fmt: skip


def _simulate(
    kind: _Kind, candidate: Candidate, configuration: Configuration, stream: np.random.Generator, index: int,
    runs: list[RunRecord], measurements: list[Measurement], estimates: list[CandidateEstimate],
) -> None:  # fmt: skip
    name = candidate.candidate_id
    Ea = kind.Ea_eV + float(stream.normal(0, 0.04)) + (0.25 if candidate.undoped else 0.0)
    log10_D0 = kind.log10_D0 + float(stream.normal(0, 0.15))
    melted, bounded = index % 13 == 7, index % 9 == 5
    n_mobile = sum(s == "Na" for s in configuration.structure.symbols)
    volume = abs(float(np.linalg.det(np.array(configuration.structure.lattice_A))))
    points: list[tuple[float, Estimate]] = []
    sigma_points: list[tuple[float, Estimate]] = []
    for number, T in enumerate(TEMPERATURES_K):
        length = 40.0
        D = 10 ** (log10_D0 - Ea / (units.BOLTZMANN_EV_PER_K * T * math.log(10))) * (1e-3 if bounded else 1.0)
        hops = int(n_mobile * 6 * D * 1e4 * length / 12)
        broken = melted and number >= 1
        run = Run(
            run_id=f"{name}--c0--{T:g}K--r0",
            configuration_id=configuration.configuration_id,
            candidate_id=name,
            temperature_K=T,
            seed=1,
        )
        outcome = Outcome.MELTED if broken else Outcome.COMPLETED
        reason = "the framework's Lindemann ratio rose to 0.21 (limit 0.15)" if broken else ""
        runs.append(
            RunRecord(
                run=run, potential=POTENTIAL, engine="batch", integrator="csvr",
                trajectory=FileReference(path=f"trajectories/{number}.h5", sha256="0" * 64, size_bytes=123456),
                summary=RunSummary(
                    n_atoms=candidate.n_atoms, steps=20000, dt_fs=2.0, length_ps=length, frame_interval_fs=50.0, mean_temperature_K=T + 2,
                    std_temperature_K=T / 20, volume_A3=volume, cpu_seconds=900.0, seconds_per_step=0.045,
                ),
                outcome=outcome, reason=reason,
            )
        )  # fmt: skip
        relative = min(1.2, 1.4 / math.sqrt(max(hops, 2)) + 0.05)
        seen = D * math.exp(float(stream.normal(0, relative * 0.7)))
        limit = hops < 3
        key = {"count": n_mobile, "charge": 1.0, "volume_A3": volume, "temperature_K": T}
        d_estimate = (
            _limit("tracer_diffusivity", 3e-7)
            if limit
            else _estimate("tracer_diffusivity", seen, relative, n_eff=float(hops))
        )
        sigma = units.nernst_einstein_S_per_cm(3e-7 if limit else seen, **key)
        s_estimate = (
            _limit("conductivity", sigma) if limit else _estimate("conductivity", sigma, relative, n_eff=float(hops))
        )
        nothing = Estimate.refused("inverse_haven_ratio", "too few jumps")
        measurements.append(
            Measurement(
                run_id=run.run_id, configuration_id=configuration.configuration_id, candidate_id=name, temperature_K=T,
                mean_temperature_K=T + 2, mobile_ion="Na", mobile_charge=1, n_mobile=n_mobile, volume_A3=volume, length_ps=length,
                tracer_diffusivity=d_estimate, conductivity=s_estimate,
                charge_diffusivity=Estimate.refused("charge_diffusivity", "too few jumps") if limit else _estimate("charge_diffusivity", seen * 1.4, relative * 2),
                charge_conductivity=Estimate.refused("charge_conductivity", "too few jumps") if limit else _estimate("charge_conductivity", sigma * 1.4, relative * 2),
                inverse_haven_ratio=nothing if limit else _estimate("inverse_haven_ratio", 1.4, relative),
                hops=hops, n_eff=float(hops), fit_window_ps=(2.0, 14.0), log_log_slope=0.97, msd=_msd(seen, T, length, n_mobile, stream),
                lindemann=0.21 if broken else 0.06, drift_A=0.1, polyanion_intact_fraction=0.7 if broken else 1.0,
                gates=tuple(
                    GateMotion(
                        jump=jump, area_mean_A2=6.5, area_q05_A2=5.4, area_q95_A2=7.8, free_radius_mean_A=radius + 0.02,
                        free_radius_q05_A=radius - 0.16 * math.sqrt(T / 1000), free_radius_q95_A=radius + 0.21 * math.sqrt(T / 1000),
                        open_fraction=0.2 + T / 4000, jump_correlation=0.4,
                    )
                    for jump, _, radius in kind.gates
                ),
                outcome=outcome, reason=reason, flags=(Flag.FRAMEWORK_MOVING,) if broken else (Flag.NO_HOPS,) if limit else (Flag.FEW_HOPS,) if relative > 0.45 else (),
            )
        )  # fmt: skip
        points.append((T, d_estimate))
        sigma_points.append((T, s_estimate))
    estimates.append(_fit(candidate, Ea, log10_D0, n_mobile, volume, melted, bounded, points, sigma_points, stream))


def _fit(
    candidate: Candidate, Ea: float, log10_D0: float, n_mobile: int, volume: float, melted: bool, bounded: bool,
    points: list[tuple[float, Estimate]], sigma_points: list[tuple[float, Estimate]], stream: np.random.Generator,
) -> CandidateEstimate:  # fmt: skip
    common = {
        "candidate_id": candidate.candidate_id, "mobile_ion": "Na", "n_configurations": 1, "n_runs": len(points),
        "target_temperature_K": TARGET_K, "points": tuple(points), "conductivity_points": tuple(sigma_points),
        "total_length_ps": 40.0 * len(points),
    }  # fmt: skip
    if melted:
        reason = "melted at 850 K and above; one temperature is left"
        refused = {q: Estimate.refused(q, reason) for q in ("activation_energy", "conductivity", "tracer_diffusivity")}
        return CandidateEstimate.model_validate({**common, **refused, "outcome": Outcome.MELTED, "reason": reason})
    if bounded:
        return CandidateEstimate.model_validate(
            {
                **common, "activation_energy": Estimate.refused("activation_energy", "no temperature gave a value"),
                "conductivity": _limit("conductivity", float(10 ** stream.uniform(-5, -3))),
                "tracer_diffusivity": _limit("tracer_diffusivity", 1e-9), "flags": (Flag.NO_HOPS, Flag.CENSORED_POINTS),
            }
        )  # fmt: skip
    kT = units.BOLTZMANN_EV_PER_K * TARGET_K
    spread = float(stream.uniform(0.012, 0.04))
    ln_D0 = log10_D0 * math.log(10)
    Tbar = 900.0
    covariance = spread**2 / (units.BOLTZMANN_EV_PER_K * Tbar)
    ln_std = spread * (1 / kT - 1 / (units.BOLTZMANN_EV_PER_K * Tbar))
    D = math.exp(ln_D0 - Ea / kT)
    sigma = units.nernst_einstein_S_per_cm(D, count=n_mobile, charge=1, volume_A3=volume, temperature_K=TARGET_K)
    flags = (Flag.EXTRAPOLATED, Flag.ASSUMED_SPREAD, Flag.SOFT_POTENTIAL)
    energy = Estimate(
        quantity="activation_energy", kind=Verdict.VALUE, value=Ea, low68=Ea - spread, high68=Ea + spread, low95=Ea - 1.96 * spread,
        high95=Ea + 1.96 * spread, method="gls Arrhenius",
    )  # fmt: skip
    return CandidateEstimate.model_validate(
        {
            **common, "activation_energy": energy, "conductivity": _estimate("conductivity", sigma, ln_std, kind=Verdict.VALUE, flags=flags),
            "tracer_diffusivity": _estimate("tracer_diffusivity", D, ln_std, kind=Verdict.VALUE), "ln_sigma_mean": math.log(sigma),
            "ln_sigma_std": ln_std,
            "arrhenius": ArrheniusFit(
                ln_D0=ln_D0, Ea_eV=Ea,
                covariance=((covariance / (units.BOLTZMANN_EV_PER_K * Tbar) + 0.01, covariance), (covariance, spread**2)),
                n_points=len(points), chi2_per_dof=1.1,
            ),
            "inverse_haven_ratio": _estimate("inverse_haven_ratio", 1.4, 0.3), "flags": flags,
        }
    )  # fmt: skip


def _density(structure: CrystalStructure, stream: np.random.Generator) -> Density:
    lattice = np.array(structure.lattice_A)
    sodium = np.array([p for p, s in zip(structure.positions_A, structure.symbols, strict=True) if s == "Na"])
    cloud = np.concatenate([sodium + stream.normal(0, 0.45, size=sodium.shape) for _ in range(12)])
    grid = np.maximum(1, np.round(np.linalg.norm(lattice, axis=1) / 0.6).astype(int))
    cells = np.floor((cloud @ np.linalg.inv(lattice) % 1.0) * grid).astype(int) % grid
    unique, counts = np.unique(cells, axis=0, return_counts=True)
    best = np.argsort(-counts, kind="stable")[:600]
    points = (unique[best] + 0.5) / grid
    return Density(
        temperature_K=1000.0,
        grid=(int(grid[0]), int(grid[1]), int(grid[2])),
        points=tuple((round(float(x), 4), round(float(y), 4), round(float(z), 4)) for x, y, z in points),
        weights=tuple(round(float(c), 4) for c in counts[best] / counts.max()),
        fraction=round(float(counts[best].sum() / counts.sum()), 3),
    )
