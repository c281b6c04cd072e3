"""measure: a run's trajectory -> diffusivities, mechanism, moving bottlenecks, verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ionsieve.campaign import Campaign
from ionsieve.channels.settings import ChannelSettings
from ionsieve.errors import BugError
from ionsieve.records import (
    Candidate,
    Configuration,
    Estimate,
    GateMotion,
    GeneratedCandidate,
    Measurement,
    RunRecord,
)
from ionsieve.stages.base import Stage, input_key, plain
from ionsieve.stages.simulate import lasting_bonds
from ionsieve.store import Request, Store
from ionsieve.transport.settings import MEASURE, TransportSettings
from ionsieve.verdicts import BROKEN, Flag, Verdict

if TYPE_CHECKING:
    from ionsieve.trajectory.h5md import Trajectory

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run"]

THRESHOLDS = frozenset(
    {"min_percolation_radius_A", "percolation_dimensions", "min_gate_free_radius_A", "max_bvse_barrier_eV", "bvse"}
)

NAME = "measure"
PHYSICS = 4


def request(simulate_key: str, generate_key: str, index: int, campaign: Campaign) -> Request:
    """Ask for the transport of one run."""
    return Request(
        NAME,
        PHYSICS,
        inputs={"simulate": simulate_key, "generate": generate_key},
        parameters={"index": index},
        # the thresholds belong to the sieve: they change no measurement
        settings={
            "transport": plain(campaign.transport, include=MEASURE),
            "channels": plain(campaign.sieve, exclude=THRESHOLDS),
        },
    )


def run(request: Request, store: Store, deadline_s: float | None = None) -> Measurement:
    """Measure one run: transport of the mobile ion, and its bottlenecks in motion."""
    import numpy as np

    from ionsieve.trajectory import h5md
    from ionsieve.transport import measure

    del deadline_s
    record = store.need(input_key(request, "simulate"), RunRecord)
    if record.outcome in BROKEN:
        generated = store.need(input_key(request, "generate"), GeneratedCandidate)
        return _broken(record, generated.candidate, generated.configurations[request.parameters["index"]])
    if record.trajectory is None:
        raise BugError(
            "a run without a trajectory cannot be measured", key=record.run.run_id, found=record.outcome.value
        )
    generated = store.need(input_key(request, "generate"), GeneratedCandidate)
    candidate, configuration = generated.candidate, generated.configurations[request.parameters["index"]]
    trajectory = h5md.read(store.file(record.trajectory))
    # the sites were placed in the generated cell; relaxation moved the cell, not their fractional coordinates
    start, end = np.asarray(configuration.structure.lattice_A), trajectory.cells[0]
    sites = np.asarray(configuration.mobile_sites_A).reshape(-1, 3) @ np.linalg.inv(start) @ end
    result = measure(
        trajectory.positions,
        trajectory.cells,
        trajectory.times_ps,
        trajectory.symbols,
        mobile=candidate.mobile_ion,
        charge=candidate.mobile_charge,
        framework=candidate.framework,
        temperature_K=record.run.temperature_K,
        charges=configuration.structure.oxidation_states or None,
        mobile_sites_A=sites if len(sites) else None,
        mobile_site_labels=configuration.mobile_site_labels,
        polyanions=lasting_bonds(candidate),
        energies_eV=trajectory.scalars.get("potential_energy"),
        settings=TransportSettings.model_validate(request.settings["transport"]),
    )
    return result.to_record(
        run_id=record.run.run_id,
        configuration_id=record.run.configuration_id,
        candidate_id=record.run.candidate_id,
        mean_temperature_K=record.summary.mean_temperature_K if record.summary else None,
        settings=dict(request.settings["transport"]),
        gates=_gates(
            trajectory, candidate, configuration, ChannelSettings.model_validate(request.settings["channels"])
        ),
        flags=tuple(dict.fromkeys((*record.flags, *result.flags, *_departures(trajectory, candidate, configuration)))),
    )


def _broken(record: RunRecord, candidate: Candidate, configuration: Configuration) -> Measurement:
    """Return what a crystal that did not survive says about diffusion: nothing, with the reason."""
    import numpy as np

    structure, why = configuration.structure, record.reason or record.outcome.sentence
    refused = {
        key: Estimate.refused(key, why)
        for key in (
            "tracer_diffusivity",
            "charge_diffusivity",
            "conductivity",
            "charge_conductivity",
            "inverse_haven_ratio",
        )
    }
    return Measurement(
        run_id=record.run.run_id,
        configuration_id=record.run.configuration_id,
        candidate_id=record.run.candidate_id,
        temperature_K=record.run.temperature_K,
        mean_temperature_K=record.summary.mean_temperature_K if record.summary else None,
        mobile_ion=candidate.mobile_ion,
        mobile_charge=candidate.mobile_charge,
        n_mobile=structure.symbols.count(candidate.mobile_ion),
        volume_A3=float(abs(np.linalg.det(np.asarray(structure.lattice_A)))),
        length_ps=record.summary.length_ps if record.summary else 0.0,
        **refused,
        verdict=Verdict.REFUSED,
        outcome=record.outcome,
        reason=why,
        flags=record.flags,
    )


def _departures(trajectory: Trajectory, candidate: Candidate, configuration: Configuration) -> tuple[Flag, ...]:
    """Flag halide dopants that are no longer bound to a polyanion's centre in the last frame."""
    import numpy as np

    from ionsieve.geometry.cells import minimum_image

    symbols = np.asarray(configuration.structure.symbols)
    lasting = lasting_bonds(candidate)
    for centre, ligand, cutoff in candidate.polyanions:
        if (centre, ligand, cutoff) in lasting:
            continue
        ends = trajectory.positions[-1]
        between = ends[symbols == ligand][:, None] - ends[symbols == centre][None]
        distance = np.linalg.norm(minimum_image(between.reshape(-1, 3), trajectory.cells[-1]), axis=1)
        if len(distance) and distance.reshape(between.shape[:2]).min(axis=1).max() > 1.2 * cutoff:
            return (Flag.HALIDE_LEFT,)
    return ()


def _gates(
    trajectory: Trajectory, candidate: Candidate, configuration: Configuration, settings: ChannelSettings
) -> tuple[GateMotion, ...]:
    """Bottlenecks along the trajectory, by type of jump."""
    import numpy as np

    from ionsieve.channels import find_gates, gates_along, read_framework, summarise_gates
    from ionsieve.channels.motion import crossings

    if len(trajectory.positions) < 2 or not configuration.mobile_sites_A:
        return ()
    framework = read_framework(
        configuration.structure,
        candidate.mobile_ion,
        mobile_sites_A=configuration.mobile_sites_A,
        mobile_site_labels=configuration.mobile_site_labels or None,
        settings=settings,
    )
    gates = find_gates(framework, settings)
    mobile = np.flatnonzero(np.asarray(configuration.structure.symbols) == candidate.mobile_ion)
    return summarise_gates(
        gates_along(trajectory.positions, trajectory.cells, gates),
        gates,
        open_ratio=settings.open_ratio,
        passages=crossings(trajectory.positions, trajectory.cells, gates, mobile),
    )


STAGE = Stage(NAME, PHYSICS, Measurement, run)
