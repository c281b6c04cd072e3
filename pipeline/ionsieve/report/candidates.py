"""One candidate's page: what it is, what was measured, its figures and its structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ionsieve.records import (
    Candidate,
    CandidateEstimate,
    Check,
    CrystalStructure,
    Measurement,
    RankedCandidate,
    StaticDescriptors,
)
from ionsieve.report import plots
from ionsieve.report.figure import Figure
from ionsieve.report.plots.parity import Comparison
from ionsieve.report.source import CampaignResults, Density

__all__ = ["CandidateView", "StructureView", "candidate_view", "compact"]


@dataclass(frozen=True)
class StructureView:
    """What the 3D view draws: a cell, atoms, gates and where the mobile ion was."""

    lattice_A: tuple[tuple[float, float, float], ...]
    symbols: tuple[str, ...]
    positions_A: tuple[tuple[float, float, float], ...]
    mobile: str
    gates: tuple[tuple[str, float, tuple[float, float, float]], ...]
    density: Density | None
    relaxed: bool


@dataclass(frozen=True)
class CandidateView:
    """Everything the page of one candidate shows."""

    candidate: Candidate
    row: RankedCandidate
    estimate: CandidateEstimate | None
    anchor: str
    structure: StructureView | None
    figures: tuple[Figure, ...]
    measurements: tuple[Measurement, ...]
    descriptors: StaticDescriptors | None
    checks: tuple[Check, ...]
    comparisons: tuple[Comparison, ...]
    volume_change_percent: float | None
    runs: tuple[tuple[str, float, str, str], ...]


def candidate_view(
    results: CampaignResults,
    row: RankedCandidate,
    estimate: CandidateEstimate | None,
    comparisons: tuple[Comparison, ...],
) -> CandidateView:
    """Gather the page of one candidate."""
    name = row.candidate_id
    candidate = next(c for c in results.candidates if c.candidate_id == name)
    configurations = results.configurations_of(name)
    first = configurations[0].configuration_id if configurations else ""
    own = {c.configuration_id for c in configurations}
    described = [d for d in results.descriptors if d.configuration_id in own]
    relaxed = results.relaxed_of(first)
    measured = results.measurements_of(name)
    figures = (
        plots.arrhenius(estimate, row.formula, f"arrhenius-{name}") if estimate else None,
        plots.msd(measured, row.formula, f"msd-{name}"),
        plots.gate_motion(measured, described[:1], row.formula, f"gates-{name}"),
    )
    crystal = relaxed.structure if relaxed else configurations[0].structure if configurations else None
    return CandidateView(
        candidate=candidate,
        row=row,
        estimate=estimate,
        anchor=f"candidate-{name}",
        structure=(
            _structure(crystal, candidate, described[:1], results.densities.get(name), relaxed is not None)
            if crystal
            else None
        ),
        figures=tuple(f for f in figures if f is not None),
        measurements=measured,
        descriptors=described[0] if described else None,
        checks=configurations[0].checks if configurations else (),
        comparisons=tuple(c for c in comparisons if c.candidate_id == name),
        volume_change_percent=relaxed.volume_change_percent if relaxed else None,
        runs=tuple(
            (r.run.run_id, r.run.temperature_K, r.outcome.value, r.reason)
            for r in results.runs
            if r.run.candidate_id == name
        ),
    )


def _structure(
    crystal: CrystalStructure,
    candidate: Candidate,
    described: list[StaticDescriptors],
    density: Density | None,
    relaxed: bool,
) -> StructureView:
    return StructureView(
        lattice_A=crystal.lattice_A,
        symbols=crystal.symbols,
        positions_A=crystal.positions_A,
        mobile=candidate.mobile_ion,
        gates=tuple((g.jump, g.free_radius_A, g.position_A) for d in described for g in d.gates),
        density=density,
        relaxed=relaxed,
    )


def compact(structure: StructureView) -> dict[str, Any]:
    """Return the structure as the 3D view reads it: Å with three decimals, symbols by index, flat arrays."""
    names = list(dict.fromkeys(structure.symbols))
    density = structure.density
    return {
        "lattice": [[round(x, 4) for x in row] for row in structure.lattice_A],
        "symbols": names,
        "index": [names.index(s) for s in structure.symbols],
        "positions": [round(x, 3) for p in structure.positions_A for x in p],
        "mobile": structure.mobile,
        "gates": [[jump, round(radius, 3), [round(x, 3) for x in p]] for jump, radius, p in structure.gates],
        "density": (
            {
                "points": [round(x, 4) for p in density.points for x in p],
                "weights": [round(w, 3) for w in density.weights],
            }
            if density
            else None
        ),
    }
