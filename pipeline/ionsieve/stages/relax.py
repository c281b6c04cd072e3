"""relax: a configuration -> the same at the minimum of the potential, as the cell policy says."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ionsieve.campaign import Campaign
from ionsieve.dynamics.settings import RelaxSettings
from ionsieve.errors import GeometryError
from ionsieve.potentials.settings import PotentialSettings
from ionsieve.records import CrystalStructure, GeneratedCandidate, PotentialIdentity, RelaxedConfiguration
from ionsieve.stages.base import Stage, check_potential, input_key, plain, potential_preimage
from ionsieve.store import Request, Store
from ionsieve.verdicts import Flag, Outcome

if TYPE_CHECKING:
    from ionsieve.potentials.base import Potential

__all__ = ["NAME", "PHYSICS", "STAGE", "request", "run"]

NAME = "relax"
PHYSICS = 1


def request(
    generate_key: str, index: int, campaign: Campaign, *, potential: Mapping[str, Any] | None = None
) -> Request:
    """Ask for the relaxation of configuration `index` of a generated candidate.

    `potential` is what determines its numbers (`potential_preimage`); unset, it is read from the campaign's model file.
    """
    return Request(
        NAME,
        PHYSICS,
        inputs={"generate": generate_key},
        parameters={"index": index},
        settings={
            "relax": plain(campaign.relax, exclude=frozenset({"batch_atoms"})),
            "potential": potential_preimage(campaign.potential) if potential is None else potential,
        },
    )


def run(request: Request, store: Store, deadline_s: float | None = None) -> RelaxedConfiguration | None:
    """Let the potential through its parity gate and relax; an element that it does not know is an outcome, no error.

    None when the deadline or a stop came first: the state of the relaxation is saved.
    """
    from ionsieve.dynamics import relax_resumable
    from ionsieve.dynamics.stopping import asked as stop
    from ionsieve.potentials import load
    from ionsieve.potentials.parity import load_checked

    generated = store.need(input_key(request, "generate"), GeneratedCandidate)
    configuration = generated.configurations[request.parameters["index"]]
    settings = RelaxSettings.model_validate(request.settings["relax"])
    asked = potential_settings(store)
    check_potential(asked, request.settings["potential"])
    potential = load(asked)
    identity = identify(potential)
    atoms = configuration.structure.to_ase()
    unknown = sorted({s for s, z in zip(atoms.symbols, atoms.numbers, strict=True) if z not in potential.info.elements})
    common = {
        "configuration_id": configuration.configuration_id,
        "candidate_id": configuration.candidate_id,
        "potential": identity,
        "cell_policy": settings.cell_policy,
        "settings": settings.model_dump(mode="json"),
    }
    if unknown:
        return RelaxedConfiguration(
            **common,
            structure=configuration.structure,
            outcome=Outcome.UNKNOWN_ELEMENT,
            reason=f"{potential.info.name} was not trained for {', '.join(unknown)}",
        )
    # all potentials that are fitted to relaxation trajectories are soft; analytic ones and other calculators are not
    soft = () if asked.name.startswith(("pair-", "ase:")) else (Flag.SOFT_POTENTIAL,)
    start = time.perf_counter()
    # the fast path must agree with the model's own calculator on this very cell before any of its numbers is kept
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="chgnet")  # of tensors made from tensors, in its own path
            potential, _, gate = load_checked(
                asked, atoms, seed=int(request.key[:8], 16), stress=settings.cell_policy != "published"
            )
    except GeometryError as refusal:
        return RelaxedConfiguration(
            **common,
            structure=configuration.structure,
            outcome=Outcome.BAD_GEOMETRY,
            reason=f"the potential refuses the geometry: {refusal}",
        )
    left = None if deadline_s is None else deadline_s - (time.perf_counter() - start)
    kept = store.workdir(request.key) / "relaxation.npz"
    result = relax_resumable(atoms, potential, settings, kept, deadline_s=left, stop=stop)
    if result is None:
        return None
    return RelaxedConfiguration(
        **common,
        structure=CrystalStructure.from_ase(result.atoms, like=configuration.structure),
        energy_eV=result.energy_eV,
        energy_start_eV=result.energy_start_eV,
        max_force_eV_per_A=result.max_force_eV_per_A,
        volume_change_percent=result.volume_change_percent,
        steps=result.steps,
        outcome=result.outcome,
        reason=result.reason,
        flags=(*gate, *result.flags, *soft),
        seconds=result.seconds_before + time.perf_counter() - start,
    )


def potential_settings(store: Store) -> PotentialSettings:
    """Return the campaign's potential: its path and device are the folder's, only its digest is in the address."""
    return PotentialSettings.model_validate(store.campaign["potential"])


def identify(potential: Potential) -> PotentialIdentity:
    """Return the record form of a loaded potential's identity."""
    info = potential.info
    return PotentialIdentity(
        name=info.name, sha256=info.sha256, dtype=info.dtype, device=info.device, version=info.version
    )


LIBRARIES = ("torch", "ase", "ionsieve.dynamics.relaxation", "ionsieve.potentials.parity")
STAGE = Stage(NAME, PHYSICS, RelaxedConfiguration, run, uses_device=True, libraries=LIBRARIES)
