"""From a candidate to its ordered cells."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ionsieve import rng
from ionsieve.errors import InputError
from ionsieve.generate.assembly import Assembled, assemble
from ionsieve.generate.checks import check_structure
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ordering import Ordered, order
from ionsieve.generate.problem import OrderingProblem, build_problem
from ionsieve.generate.prototypes import Prototype, load
from ionsieve.generate.provenance import software_versions
from ionsieve.generate.settings import GenerateSettings
from ionsieve.generate.sites import site_table
from ionsieve.records.candidate import Candidate, Configuration
from ionsieve.verdicts import Outcome

__all__ = ["configure"]


def configure(
    candidate: Candidate, settings: GenerateSettings, *, seed: int, library: Sequence[str | Path] | str | Path = ()
) -> tuple[Candidate, tuple[Configuration, ...]]:
    """Order a candidate and check what comes out.

    Parameters
    ----------
    candidate
        From `expand`. A refused one comes back unchanged, without configurations.
    library
        Further folder or folders with prototypes, searched after `settings.library`.
    seed
        The campaign's seed; `settings.ordering.seed` overrides it. Streams are keyed by it and by the candidate's
        content, so that a candidate gets the same structures in any campaign, alone or among others.

    Returns
    -------
    tuple
        The candidate (refused when no configuration passes its checks) and its configurations, distinct by symmetry.

    Raises
    ------
    InputError
        When the prototype's files are not those that the candidate was made from.
    """
    if candidate.outcome is not Outcome.COMPLETED:
        return candidate, ()
    extra = [library] if isinstance(library, str | Path) else list(library)
    prototype = _prototype_of(candidate, [*settings.library, *extra])
    plan, spec = candidate.provenance["plan"], candidate.provenance["spec"]
    table = site_table(prototype, np.array(plan["matrix_of_primitive"], dtype=np.int64))
    problem = build_problem(candidate, table)
    scale = float(spec["cell_scale"])
    ordering = settings.ordering
    chosen = seed if ordering.seed is None else ordering.seed
    stream = functools.partial(rng.generator, chosen, "generate", candidate.provenance["spec_sha256"])
    configurations = []
    orderings = order(problem, ordering, stream)
    if any(s in GROUPS for s in spec["charges"]):  # cluster anions: the same sites with other orientations differ
        orderings = [orderings[k % len(orderings)] for k in range(ordering.n_configurations)]
    for index, ordered in enumerate(orderings):
        assembled = assemble(
            problem,
            ordered,
            spec["charges"],
            stream("orientation", index),
            scale=scale,
            temperature_K=ordering.temperature_K,
            relative_permittivity=ordering.relative_permittivity,
        )
        configurations.append(
            _configuration(candidate, prototype, problem, ordered, assembled, settings, index, chosen, scale)
        )
    rejected = [f"{c.configuration_id}: {c.reason}" for c in configurations if c.outcome is not Outcome.COMPLETED]
    if rejected:
        candidate = candidate.model_copy(
            update={"provenance": {**candidate.provenance, "rejected_configurations": rejected}}
        )
    good = [c for c in configurations if c.outcome is Outcome.COMPLETED]
    if not good:
        first = configurations[0]
        return candidate.model_copy(update={"outcome": first.outcome, "reason": first.reason}), ()
    kept = tuple(
        c.model_copy(update={"index": k, "configuration_id": f"{candidate.candidate_id}--c{k}"})
        for k, c in enumerate(good)
    )
    return candidate, kept


def _prototype_of(candidate: Candidate, library: Sequence[str | Path]) -> Prototype:
    entry = candidate.provenance["prototype"]
    prototype = load(entry["location"] or candidate.prototype, library)
    if prototype.sha256 != entry["sha256"]:
        raise InputError(
            f"the prototype {candidate.prototype} has changed since the candidate was made",
            where=prototype.location,
            remedy="generate the candidates again",
        )
    return prototype


def _configuration(
    candidate: Candidate,
    prototype: Prototype,
    problem: OrderingProblem,
    ordered: Ordered,
    assembled: Assembled,
    settings: GenerateSettings,
    index: int,
    seed: int,
    scale: float,
) -> Configuration:
    table = problem.table
    checks, outcome, reason, flags = check_structure(candidate, prototype, assembled, settings.checks)
    if outcome is Outcome.COMPLETED and len(assembled.structure) != candidate.n_atoms:
        outcome, reason = Outcome.BAD_GEOMETRY, f"{len(assembled.structure)} atoms instead of {candidate.n_atoms}"
    mobile = [i for i in range(len(table)) if table.mobile[i]]
    provenance: dict[str, Any] = {
        "ordering": settings.ordering.model_dump(mode="json"),
        "how": ordered.how,
        "clashes": ordered.clashes,
        "cell_scale": scale,
        "symmetry_operations": len(problem.permutations),
        "site_occupation": _occupation(assembled, problem),
        "software": software_versions(),
    }
    return Configuration(
        configuration_id=f"{candidate.candidate_id}--c{index}",
        candidate_id=candidate.candidate_id,
        index=index,
        structure=assembled.structure,
        method=settings.ordering.method,
        seed=seed,
        ewald_energy_eV=round(ordered.energy_eV / scale, 6),
        degeneracy=ordered.degeneracy,
        mobile_sites_A=tuple(tuple(float(x) for x in np.round(table.positions[i] * scale, 8) + 0.0) for i in mobile),
        mobile_site_labels=tuple(table.labels[i] for i in mobile),
        dopant_vacancy_distances_A=_dopant_vacancy(candidate, problem, assembled, scale),
        checks=checks,
        outcome=outcome,
        reason=reason,
        flags=flags,
        provenance=provenance,
    )


def _occupation(assembled: Assembled, problem: OrderingProblem) -> dict[str, dict[str, int]]:
    """How many of each species stand on each site label, vacancies as ``vacant``."""
    out: dict[str, dict[str, int]] = {}
    for label, species in zip(problem.table.labels, assembled.occupation, strict=True):
        row = out.setdefault(label, {})
        row[species or "vacant"] = row.get(species or "vacant", 0) + 1
    return out


def _dopant_vacancy(
    candidate: Candidate, problem: OrderingProblem, assembled: Assembled, scale: float
) -> tuple[float, ...]:
    """Distance from each dopant to the nearest empty regular mobile site, Å, sorted."""
    table = problem.table
    dopants = {s["dopant"] for s in candidate.provenance["substitutions"]}
    own = {label: set(table.prototype.site(label).occupancy) for label in set(table.labels)}
    rows = [i for i, s in enumerate(assembled.occupation) if s in dopants and s not in own[table.labels[i]]] or [
        i for i, s in enumerate(assembled.occupation) if s in dopants
    ]
    empty = [i for i, s in enumerate(assembled.occupation) if not s and table.mobile[i] and not table.interstitial[i]]
    if not rows or not empty:
        return ()
    nearest = table.distances(np.array(rows), np.array(empty)).min(axis=1)
    return tuple(round(float(d) * scale, 4) for d in np.sort(nearest))
