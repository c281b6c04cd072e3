"""Whatever is asked: a neutral cell of the stated composition, or a refusal with its reason."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ionsieve.errors import ProblemsError
from ionsieve.generate import GenerateSettings, configure, expand, prototypes
from ionsieve.generate.formula import flatten, format_formula, parse_formula
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.packing import capacity
from ionsieve.records import Configuration
from ionsieve.verdicts import Outcome

NAMES = prototypes.names()
QUICK = {"chains": 8, "sweeps": 20, "restarts": 1, "n_configurations": 2, "enumerate_below": 500}


@st.composite
def substitutions(draw: st.DrawFn) -> dict:
    """A prototype with one or two allowed substitutions at any level, and any mechanism."""
    p = prototypes.load(draw(st.sampled_from(NAMES)))
    chosen: dict[str, dict[str, float]] = {}
    for _ in range(draw(st.integers(0, 2))):
        entry = draw(st.sampled_from(p.dopable))
        site = p.site(draw(st.sampled_from(entry.sites)))
        host = max(site.occupancy, key=lambda s: site.occupancy[s])
        dopant = draw(st.sampled_from(sorted(set(entry.dopants) - set(site.occupancy)) or [""]))
        if not dopant or site.label in chosen:
            continue
        room = p.per_formula_unit(site) * site.occupancy[host]
        chosen[site.label] = {dopant: round(draw(st.floats(0.02, 1.0)) * room * 0.5, 3)}
    mechanism: object = draw(st.sampled_from(["auto", "auto", "auto", "vacancy", "interstitial", "none", "codopant"]))
    if mechanism == "codopant":
        entry = draw(st.sampled_from(p.dopable))
        dopant = draw(st.sampled_from(sorted(entry.dopants)))
        host = next(iter(p.site(entry.sites[0]).occupancy))
        sign = "codopant" if entry.dopants[dopant] > 0 else "anion"
        mechanism = "auto" if dopant == host else {"mechanism": sign, "site": entry.sites[0], "dopant": dopant}
    return {"prototype": p.name, "substitute": chosen, "compensation": mechanism}


@given(substitutions())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_neutral_with_the_stated_composition_or_refused(recipe: dict) -> None:
    s = GenerateSettings.model_validate(
        {"recipes": [recipe], "ordering": QUICK, "supercell": {"max_atoms": 160, "min_image_A": 8}}
    )
    try:
        (candidate,) = expand(s)
    except ProblemsError:  # a co-dopant that is there already, with another charge or on a full site
        if isinstance(recipe["compensation"], dict):
            return
        raise
    again = expand(s)
    assert again == [candidate]  # idempotent
    made, configurations = configure(candidate, s, seed=7)
    if made.outcome is not Outcome.COMPLETED:
        assert len(made.reason) > 20
        assert configurations == ()
        assert made.outcome in (Outcome.NOT_NEUTRAL, Outcome.NOT_REALISABLE, Outcome.BAD_GEOMETRY)
        return
    assert made.composition_error is not None
    assert made.composition_error <= 0.02 + 1e-9
    assert made.n_atoms <= 160
    assert made.min_image_A is not None
    assert made.min_image_A >= 8 - 1e-3
    states = set()
    for k in configurations:
        assert sum(k.structure.oxidation_states) == pytest.approx(0, abs=1e-9)
        counts = {e: k.structure.symbols.count(e) / made.formula_units for e in set(k.structure.symbols)}
        assert counts == pytest.approx(flatten(made.composition), abs=1e-6)
        for amounts in recipe["substitute"].values():
            for dopant, level in amounts.items():
                assert made.composition[dopant] >= level * 0.97
        assert np.linalg.det(np.array(k.structure.lattice_A)) > 0
        states.add((k.ewald_energy_eV, k.structure.symbols, k.structure.positions_A))
        assert all(c.passed for c in k.checks if c.name in ("neutrality", "shortest distances", "exclusive sites"))
    assert len(states) == len(configurations)
    if made.n_atoms <= 60 and not any(g in GROUPS for g in made.composition):  # pymatgen's word on duplicates
        fingers = [_fingerprint(k) for k in configurations]
        for a, b in itertools.combinations(range(len(fingers)), 2):
            assert not np.allclose(fingers[a], fingers[b], atol=1e-6) or _differ(configurations[a], configurations[b])
    assert configure(candidate, s, seed=7) == (made, configurations)


def _fingerprint(k: Configuration) -> np.ndarray:
    """Sorted distances of all pairs of every two elements: equal for equivalent structures."""
    atoms = k.structure.to_ase()
    names = np.array(k.structure.symbols)
    distance = atoms.get_all_distances(mic=True)
    kinds = sorted(set(names))
    return np.concatenate(
        [
            np.sort(distance[np.ix_(names == a, names == b)], axis=None)
            for a, b in itertools.combinations_with_replacement(kinds, 2)
        ]
    )


def _differ(a: Configuration, b: Configuration) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, primitive_cell=False, scale=False)
    return not matcher.fit(a.structure.to_pymatgen(), b.structure.to_pymatgen())


@given(
    st.dictionaries(
        st.sampled_from(["Li", "Na", "K", "Mg", "Al", "Sc", "Y", "Zr", "Ti", "Si", "Ge", "Sn", "P", "Sb"]),
        st.integers(1, 12),
        min_size=1,
        max_size=4,
    ),
    st.dictionaries(st.sampled_from(["O", "S", "Se", "F", "Cl", "Br", "I", "BH4"]), st.integers(1, 12), min_size=1,
                    max_size=3),
)  # fmt: skip
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_formula_is_made_as_written_or_refused_in_words(cations: dict[str, int], anions: dict[str, int]) -> None:
    text = format_formula({**cations, **anions})
    s = GenerateSettings.model_validate({"recipes": [text], "supercell": {"max_atoms": 120, "min_image_A": 6}})
    (candidate,) = expand(s)
    if candidate.outcome is not Outcome.COMPLETED:
        assert len(candidate.reason) > 40
        return
    asked, made = parse_formula(text, groups=["BH4"]), candidate.composition
    scale = sum(asked[a] for a in anions) / sum(made[a] for a in anions)
    assert {k: v * scale for k, v in made.items()} == pytest.approx(asked, rel=0.03)
    q = candidate.provenance["spec"]["charges"]
    assert sum(n * q[species] for species, n in made.items()) == pytest.approx(0, abs=1e-6)
    p = prototypes.load(candidate.prototype)
    most = capacity(p, tuple(x.label for x in p.sites if x.mobile))
    assert made[candidate.mobile_ion] <= most + 1e-6


@given(st.sampled_from(["Zr", "P", "Si"]), st.floats(0.05, 0.9))
@settings(max_examples=10, deadline=None)
def test_a_realised_formula_solves_to_itself(site: str, level: float) -> None:
    """What was made, asked for again by its formula, is the same composition."""
    dopant = {"Zr": "Sc", "P": "Si", "Si": "P"}[site]
    s = GenerateSettings.model_validate(
        {"recipes": [{"prototype": "Na3Zr2Si2PO12_R-3c", "substitute": {site: {dopant: round(level, 2)}}}]}
    )
    (first,) = expand(s)
    assume(first.outcome is Outcome.COMPLETED)
    (second,) = expand(
        GenerateSettings.model_validate(
            {
                "recipes": [{"formula": first.realised_formula, "prototype": "Na3Zr2Si2PO12_R-3c"}],
                "supercell": {"composition_tolerance": 2e-4},
            }
        )
    )
    assert second.outcome is Outcome.COMPLETED, second.reason
    assert second.composition == pytest.approx(first.composition, abs=2e-4)
    assert second.formula_units <= first.formula_units
