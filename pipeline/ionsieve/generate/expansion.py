"""From recipes to candidates: compositions, compensation and supercells, without any ordering."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ionsieve.errors import InputError, Problems
from ionsieve.generate.compensation import NotBalanced, compensate
from ionsieve.generate.composition_checks import composition_checks
from ionsieve.generate.formula import flatten, format_formula, group_hint, parse_formula
from ionsieve.generate.grid import grid_changes
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.prototypes import Prototype, find, is_file_name, load, names
from ionsieve.generate.provenance import software_versions, spec_sha256
from ionsieve.generate.scaling import cell_scale
from ionsieve.generate.settings import GenerateSettings, Recipe
from ionsieve.generate.solve import NoPrototype, solve_formula
from ionsieve.generate.supercells import NotRealisable, Plan, realise
from ionsieve.generate.targets import INTERSTITIAL, MOBILE, Substitution, Target, base_target, check_charges, substitute
from ionsieve.records.candidate import Candidate, SiteChange
from ionsieve.verdicts import Outcome

__all__ = ["Expansion", "expand", "expand_recipes"]

Library = Sequence[str | Path] | str | Path | None


@dataclass(frozen=True)
class Expansion:
    """What the recipes ask for.

    Attributes
    ----------
    candidates
        In the order of the recipes, each composition once.
    named
        Ids of those that a recipe names, with its number; the others are points of grids.
    """

    candidates: list[Candidate]
    named: dict[str, int]


def expand(settings: GenerateSettings, *, library: Library = None) -> list[Candidate]:
    """Return every candidate that the recipes ask for, refused ones with outcome and reason.

    Parameters
    ----------
    library
        Further folder or folders with prototypes, searched after `settings.library` and before the shipped ones.

    Returns
    -------
    list
        In the order of the recipes, each composition once. Nothing is ordered yet; see `configure`.

    Raises
    ------
    ProblemsError
        For unknown prototypes, sites or species and impossible amounts: all recipes' problems at once.
    """
    return expand_recipes(settings, library=library).candidates


def expand_recipes(settings: GenerateSettings, *, library: Library = None) -> Expansion:
    """Like `expand`, and say which candidates were named one by one."""
    extra = [] if library is None else [library] if isinstance(library, str | Path) else list(library)
    folders = [*settings.library, *extra]
    names(folders)  # a missing library folder is one error, not one a recipe
    problems = Problems()
    candidates: list[Candidate] = []
    seen: dict[str, str] = {}  # content to id
    named: dict[str, int] = {}
    for number, recipe in enumerate(settings.recipes):
        try:
            for candidate in _candidates_of(recipe, settings, folders):
                content = candidate.provenance["spec_sha256"]
                if content not in seen:
                    unique = _renamed(candidate, set(seen.values()))
                    seen[content] = unique.candidate_id
                    candidates.append(unique)
                if recipe.grid is None:
                    named.setdefault(seen[content], number)
        except InputError as error:
            found = getattr(error, "problems", (error.problem,))
            for problem in found:
                problems.found.append(replace(problem, key=f"generate.recipes[{number}].{problem.key}".rstrip(".")))
    problems.throw()
    return Expansion(candidates, named)


def _renamed(candidate: Candidate, taken: set[str]) -> Candidate:
    """Give a number to what differs under the same name."""
    name, k = candidate.candidate_id, 2
    while name in taken:
        name, k = f"{candidate.candidate_id}~{k}", k + 1
    return candidate if name == candidate.candidate_id else candidate.model_copy(update={"candidate_id": name})


def _candidates_of(recipe: Recipe, settings: GenerateSettings, folders: Sequence[str | Path]) -> Iterator[Candidate]:
    if recipe.formula is not None:
        yield from _from_formula(recipe, folders, settings)
    elif recipe.grid is not None:
        for prototype, changes in grid_changes(
            recipe.grid, folders, recipe.oxidation_states, settings.compensation_of(recipe).dopant
        ):
            yield _candidate(prototype, changes, recipe, settings)
    else:
        assert recipe.prototype is not None
        prototype = load(recipe.prototype, folders)
        _check_substitutions(prototype, recipe, settings)
        slots = [
            [(host, dopant, level) for level in levels]
            for host, dopants in (recipe.substitute or {}).items()
            for dopant, levels in dopants.items()
        ]
        for combination in itertools.product(*slots):
            changes = [Substitution(h, d, level) for h, d, level in combination if level > 0]
            yield _candidate(prototype, changes, recipe, settings)


def _check_substitutions(prototype: Prototype, recipe: Recipe, settings: GenerateSettings) -> None:
    """Try every substitution alone, so that all that is wrong with a recipe is told at once.

    Raises
    ------
    ProblemsError
        With one problem for each that cannot be made.
    """
    wanted = recipe.substitute or {}
    dopants = [d for row in wanted.values() for d in row]
    balancing = settings.compensation_of(recipe).dopant
    check_charges(recipe.oxidation_states, (*prototype.charges, *dopants, *([balancing] if balancing else [])),
                  [prototype])  # fmt: skip
    problems = Problems()
    for host, row in wanted.items():
        for dopant, levels in row.items():
            try:
                target = base_target(prototype, recipe.oxidation_states)
                substitute(target, Substitution(host, dopant, max(levels)), recipe.oxidation_states)
            except InputError as error:
                problems.found.extend(getattr(error, "problems", (error.problem,)))
    problems.throw()


def _from_formula(recipe: Recipe, folders: Sequence[str | Path], settings: GenerateSettings) -> Iterator[Candidate]:
    assert recipe.formula is not None
    if recipe.oxidation_states:
        named = [load(recipe.prototype, folders)] if recipe.prototype else []
        held = parse_formula(recipe.formula)
        own = [s for p in named for s in p.charges]
        check_charges(recipe.oxidation_states, dict.fromkeys((*held, *flatten(held), *own)), named)
    try:
        target = solve_formula(recipe.formula, recipe.prototype, folders, recipe.oxidation_states)
    except NoPrototype as error:
        yield _refused_formula(recipe, str(error))
        return
    yield _finish(target, recipe, settings, stated=True)


def _refused_formula(recipe: Recipe, reason: str) -> Candidate:
    text = re.sub(r"[^A-Za-z0-9.]+", "_", recipe.formula or "")
    spec = {"formula": recipe.formula, "prototype": recipe.prototype}
    return Candidate(
        candidate_id=f"formula--{text}",
        prototype=recipe.prototype or "",
        family="",
        mobile_ion="",
        mobile_charge=0,
        target_formula=recipe.formula or "",
        outcome=Outcome.NOT_REALISABLE,
        reason=reason,
        provenance={"spec": spec, "spec_sha256": spec_sha256(spec), "software": software_versions()},
    )


def _candidate(
    prototype: Prototype,
    changes: Sequence[Substitution],
    recipe: Recipe,
    settings: GenerateSettings,
) -> Candidate:
    target = base_target(prototype, recipe.oxidation_states)
    for change in changes:
        substitute(target, change, recipe.oxidation_states)
    return _finish(target, recipe, settings, stated=False)


def _finish(target: Target, recipe: Recipe, settings: GenerateSettings, *, stated: bool) -> Candidate:
    """Compensate, choose the cell, and write the candidate."""
    wanted, cell = settings.compensation_of(recipe), settings.supercell_of(recipe)
    outcome, reason, plan = Outcome.COMPLETED, "", None
    asked = list(target.substitutions)
    try:
        if stated:
            _state_balance(target, recipe.formula or "")
        else:
            compensate(target, wanted, recipe.oxidation_states)
    except NotBalanced as error:
        outcome, reason = Outcome.NOT_NEUTRAL, str(error)
    if outcome is Outcome.COMPLETED:
        try:
            plan = realise(target, cell, scale=_scale(target, settings))
        except NotRealisable as error:
            outcome, reason = Outcome.NOT_REALISABLE, str(error)
    return _record(target, asked, recipe, settings, plan, outcome, reason)


def _scale(target: Target, settings: GenerateSettings) -> float:
    """Factor on the lengths of the prototype's cell."""
    if settings.cell_scaling == "none":
        return 1.0
    return cell_scale(target.prototype, _sublattices(target), {**target.prototype.charges, **target.charges})


def _sublattices(target: Target) -> list[dict[str, Any]]:
    return [
        {
            "name": s.name,
            "sites": list(s.capacity),
            "amounts": s.amounts,
            "allowed": {k: list(v) for k, v in s.allowed.items()},
        }
        for s in target.sublattices
    ]


def _state_balance(target: Target, formula: str) -> None:
    """For a formula: it must be neutral as written."""
    if abs(target.charge) < 1e-3:
        return
    excess = target.charge
    z = target.charges[target.mobile_ion]
    have = target.mobile_amount
    mends = []
    if have - excess / z > -1e-6:
        mends.append(f"{have - excess / z:.4g} {target.mobile_ion} instead of {have:.4g}")
    for species, amount in target.composition.items():
        charge = target.charges[species] - excess / amount
        whole = abs(charge - round(charge)) < 0.01 and round(charge) != target.charges[species]
        if species != target.mobile_ion and whole and charge * target.charges[species] > 0:
            mends.append(f"oxidation_states: {{{species}: {round(charge)}}}")
    raise NotBalanced(
        f"the formula as written carries {excess:+.4g} charges a formula unit; it would be neutral with "
        f"{', or '.join([*mends, 'other oxidation states'])} "
        f"(taken: {', '.join(f'{s}{target.charges[s]:+d}' for s in target.composition)})" + group_hint(formula)
    )


def _record(
    target: Target,
    asked: Sequence[Substitution],
    recipe: Recipe,
    settings: GenerateSettings,
    plan: Plan | None,
    outcome: Outcome,
    reason: str,
) -> Candidate:
    prototype = target.prototype
    composition = target.composition
    wanted, cell = settings.compensation_of(recipe), settings.supercell_of(recipe)
    spec: dict[str, Any] = {
        "prototype": prototype.name,
        "prototype_sha256": prototype.sha256,
        "sublattices": _sublattices(target),
        "charges": {s: target.charges[s] for s in composition},
        "matrix_of_primitive": None if plan is None else plan.matrix.tolist(),
        "counts": None if plan is None else plan.counts.by_sublattice,
        "cell_scale": None if plan is None else plan.scale,
        "mechanism": target.mechanism if outcome is not Outcome.NOT_NEUTRAL else wanted.mechanism,
    }
    provenance: dict[str, Any] = {
        "spec": spec,
        "spec_sha256": spec_sha256(spec),
        "prototype": {
            "name": prototype.name,
            "location": prototype.location if _given_as_file(prototype, recipe) else "",
            "sha256": prototype.sha256,
            "source": prototype.source,
            "doi": prototype.doi,
            "quality": prototype.quality,
        },
        "supercell_settings": cell.model_dump(mode="json"),
        "asked": [vars(s) | {"labels": list(s.labels)} for s in asked],
        "substitutions": [vars(s) | {"labels": list(s.labels)} for s in target.substitutions],
        "mobile_sites_used": [x for s in target.sublattices if s.name in (MOBILE, INTERSTITIAL) for x in s.capacity],
        "notes": list(target.notes),
        "software": software_versions(),
    }
    changes = tuple(_site_changes(target))
    realised: dict[str, Any] = {}
    if plan is not None:
        units = plan.formula_units
        totals = plan.counts.totals()
        amounts = {s: totals[s] / units for s in composition if s in totals}
        rows = plan.matrix @ prototype.primitive
        whole = bool(np.allclose(rows, np.round(rows), atol=1e-6))
        provenance["plan"] = {
            "matrix_of_primitive": plan.matrix.tolist(),
            "primitive_in_conventional": prototype.primitive.tolist(),
            "counts": plan.counts.by_sublattice,
            "worst_species": plan.counts.worst,
            "site_deviation": plan.counts.site_deviation,
            "alternatives": plan.alternatives,
        }
        matrix = np.round(rows).astype(int).tolist() if whole else plan.matrix.tolist()
        realised = {
            "realised_formula": format_formula(amounts),
            "composition": {s: round(a, 8) for s, a in amounts.items()},
            "supercell": tuple(tuple(row) for row in matrix),
            "supercell_of": "conventional" if whole else "primitive",
            "n_atoms": plan.counts.n_atoms,
            "formula_units": units,
            "min_image_A": plan.min_image_A,
            "composition_error": plan.counts.error,
        }
    checks, flags = composition_checks(target, plan, settings.checks)
    provenance["composition_checks"] = [c.model_dump(mode="json") for c in checks]
    return Candidate(
        candidate_id=_identity(prototype, asked, composition, target),
        prototype=prototype.name,
        family=prototype.family,
        mobile_ion=target.mobile_ion,
        mobile_charge=target.charges[target.mobile_ion],
        target_formula=format_formula(composition),
        undoped=not target.substitutions and target.mechanism == "none",
        changes=changes,
        compensation=target.mechanism,
        compensation_reason=target.reason,
        framework=_framework(target),
        polyanions=_polyanions(target),
        outcome=outcome,
        reason=reason,
        flags=flags,
        provenance=provenance,
        **realised,
    )


def _given_as_file(prototype: Prototype, recipe: Recipe) -> bool:
    """Whether the recipe, or its grid, names the prototype by path: then no library folder holds it."""
    given = (recipe.prototype, *(recipe.grid.prototypes if recipe.grid else ()))
    return any(name and is_file_name(name) and str(find(name)) == prototype.location for name in given)


def _identity(
    prototype: Prototype, asked: Sequence[Substitution], composition: dict[str, float], target: Target
) -> str:
    """Readable name, safe as a file name."""
    parts = [f"{s.dopant}_{s.host}-{s.amount:.6g}" for s in asked] or ["undoped"]
    if target.mechanism in ("codopant", "anion"):
        extra = target.substitutions[len(asked) :]
        parts += [f"{s.dopant}_{s.host}-{s.amount:.6g}" for s in extra]
    if target.mobile_ion != prototype.mobile_ion:
        parts.insert(0, target.mobile_ion)
    return re.sub(r"[^A-Za-z0-9._+~-]", "_", f"{prototype.name}--{'+'.join(parts)}")


def _site_changes(target: Target) -> Iterator[SiteChange]:
    base = {s.name: s for s in base_target(target.prototype).sublattices}
    for sublattice in target.sublattices:
        before: dict[str, float] = {}
        for other in base.values():
            if set(other.capacity) & set(sublattice.capacity):
                for species, amount in other.amounts.items():
                    before[species] = before.get(species, 0.0) + amount
        after = {s: round(a, 8) for s, a in sublattice.amounts.items() if a > 1e-9}
        before = {s: round(a, 8) for s, a in before.items() if a > 1e-9}
        if before != after:
            yield SiteChange(site="/".join(sublattice.capacity), before=before, after=after)


def _framework(target: Target) -> tuple[str, ...]:
    """Elements of the immobile reference: framework cations and anions, of cluster anions the centre."""
    mobile = set(target.mobile.amounts)
    found: dict[str, None] = {}
    for sublattice in target.sublattices:
        if sublattice.name in (MOBILE, INTERSTITIAL):
            continue
        for species, amount in sublattice.amounts.items():
            if amount > 1e-9:
                found[GROUPS[species].symbols[0] if species in GROUPS else species] = None
    loose = {"H"} | mobile | {b for a, b, _ in target.prototype.polyanions if b == "H"}
    return tuple(s for s in found if s not in loose)


def _polyanions(target: Target) -> tuple[tuple[str, str, float], ...]:
    """Centre, ligand and bond cut-off in Å, for the elements that the candidate holds."""
    from ionsieve.generate.ions import radius_A

    elements = flatten(target.composition)
    out: dict[tuple[str, str], float] = {}
    prototype = target.prototype
    replaced: dict[str, set[str]] = {}  # dopant -> host, on framework sites
    for s in target.substitutions:
        for label in s.labels:
            for host in prototype.site(label).occupancy:
                replaced.setdefault(s.dopant, set()).add(host)
    for centre, ligand, cutoff in prototype.polyanions:
        centres = [centre, *[d for d, hosts in replaced.items() if centre in hosts]]
        ligands = [ligand, *[d for d, hosts in replaced.items() if ligand in hosts and d not in GROUPS]]
        for a, b in itertools.product(centres, ligands):
            if a not in elements or b not in elements or a in GROUPS:
                continue
            stretch = 0.0
            for new, old in ((a, centre), (b, ligand)):
                r_new = radius_A(new, target.charges.get(new, 0), 4)
                r_old = radius_A(old, prototype.charges.get(old, 0), 4)
                stretch += max(0.0, (r_new or 0.0) - (r_old or 0.0)) if r_new and r_old else 0.0
            out[a, b] = max(out.get((a, b), 0.0), round(cutoff + stretch, 2))
    for species in target.composition:
        if species in GROUPS:
            group = GROUPS[species]
            length = float(np.linalg.norm(group.offsets_A[1]))
            out.setdefault((group.symbols[0], group.symbols[1]), round(1.3 * length, 2))
    return tuple((a, b, c) for (a, b), c in out.items())
