"""Whatever is asked: a neutral cell of the stated composition, or a refusal with its reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ionsieve.generate import GenerateSettings, configure, expand, prototypes
from ionsieve.generate.formula import flatten
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
    mechanism = draw(st.sampled_from(["auto", "auto", "auto", "vacancy", "interstitial", "none"]))
    return {"prototype": p.name, "substitute": chosen, "compensation": mechanism}


@given(substitutions())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_neutral_with_the_stated_composition_or_refused(recipe: dict) -> None:
    s = GenerateSettings.model_validate(
        {"recipes": [recipe], "ordering": QUICK, "supercell": {"max_atoms": 160, "min_image_A": 8}}
    )
    (candidate,) = expand(s)
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
    assert len(states) == len(configurations)
    assert configure(candidate, s, seed=7) == (made, configurations)


@given(st.sampled_from(["Zr", "P", "Si"]), st.floats(0.05, 0.9))
@settings(max_examples=10, deadline=None)
def test_a_realised_formula_solves_to_itself(site: str, level: float) -> None:
    """What was made, asked for again by its formula, is the same composition."""
    dopant = {"Zr": "Sc", "P": "Si", "Si": "P"}[site]
    s = GenerateSettings.model_validate(
        {"recipes": [{"prototype": "Na3Zr2Si2PO12_R-3c", "substitute": {site: {dopant: round(level, 2)}}}]}
    )
    (first,) = expand(s)
    if first.outcome is not Outcome.COMPLETED:
        return
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
