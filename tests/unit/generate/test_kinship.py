"""Which formulas a prototype may be found for, and how many mobile ions its sites hold."""

from __future__ import annotations

import pytest

from ionsieve.errors import ProblemsError
from ionsieve.generate import GenerateSettings, configure, expand, expand_recipes, prototypes
from ionsieve.generate.packing import capacity
from ionsieve.generate.supercells import count_atoms
from ionsieve.generate.targets import base_target
from ionsieve.records import Candidate
from ionsieve.verdicts import Outcome


def ask(recipe: object, **more: object) -> Candidate:
    (found,) = expand(GenerateSettings.model_validate({"recipes": [recipe], **more}))
    return found


@pytest.mark.parametrize(
    ("formula", "prototype"),
    [
        ("Na3Sc2P3O12", "NaZr2P3O12_R-3c"),
        ("KZr2P3O12", "NaZr2P3O12_R-3c"),
        ("Li5La3Ta2O12", "Li7La3Zr2O12_Ia-3d"),
        ("Li10SnP2S12", "Li10GeP2S12_P42nmc"),
        ("Na11Sn2SbS12", "Na11Sn2PS12_I41acd"),
        ("Na2ZrCl6", "Na3YCl6_P21n"),
        ("Na3AlF6", "Na3YCl6_P21n"),  # cryolite
        ("MgAl2O4", "MgSc2Se4_Fd-3m"),  # spinel
        ("MgY2S4", "MgSc2Se4_Fd-3m"),
        ("Na4OBr2", "Na4OI2_I4mmm"),
        ("Rb3OCl", "K3OI_Pm-3m"),
        ("Na2OHCl", "Li2OHCl_Pm-3m"),
        ("Li6PS5I", "Li6PS5Cl_F-43m"),
    ],
)
def test_isotypes_find_their_prototype(formula: str, prototype: str) -> None:
    c = ask(formula)
    assert (c.prototype, c.outcome) == (prototype, Outcome.COMPLETED)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("NaCl", "Cl would stand both on the"),
        ("LiF", "another structure type"),
        ("MgO", "another structure type"),
        ("CaTiO3", "left over for the sites of the mobile ion"),
        ("NaAlSiO4", "left over for the sites of the mobile ion"),
        ("NaTaCl6", "exchanges 33 % of the charge of its framework (most of it Ta for Y)"),
        ("AlPO4", "Al3+"),
        ("NaBF4", "B3+ would take the place of Al3+ and is 50 % smaller"),
        ("AgGaS2", "Ag+ for Mg2+ changes the number of mobile ions"),
        ("Li7PS6", "has room for 6 on sites with known coordinates"),
    ],
)
def test_other_structure_types_are_refused_in_words(formula: str, words: str) -> None:
    c = ask(formula)
    assert c.outcome is Outcome.NOT_REALISABLE
    assert c.reason.startswith(f"{formula} fits none of the 34 prototypes")
    assert words in c.reason
    assert "The nearest is" in c.reason


def test_a_named_prototype_is_obeyed_and_the_distance_noted() -> None:
    c = ask({"formula": "NaCl", "prototype": "Na3OCl_Pm-3m"})
    assert c.outcome is Outcome.COMPLETED
    assert any("far from its prototype" in note for note in c.provenance["notes"])


def test_a_cluster_anion_without_brackets_is_pointed_out() -> None:
    assert ask("Na3ONO2").reason.endswith("If NO2 is meant as one anion, write Na3O(NO2)")
    assert ask("Na3O(NO2)").outcome is Outcome.COMPLETED


def test_a_formula_may_need_more_sites_than_those_listed() -> None:
    c = ask({"formula": "Li4SnS4", "prototype": "Li10GeP2S12_P42nmc"})
    assert c.outcome is Outcome.COMPLETED
    with pytest.raises(ProblemsError, match="name P2 to use that site as well"):
        ask({"prototype": "Li10GeP2S12_P42nmc", "substitute": {"P": {"Si": 2}}})


# --- how many mobile ions fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("Na3Zr2Si2PO12_R-3c", 4.0),
        ("Li1.3Al0.3Ti1.7P3O12_R-3c", 4.0),
        ("Li7La3Zr2O12_Ia-3d", 7.5),
        ("Li6PS5Cl_F-43m", 6.0),
        ("Na2Zn2TeO6_P6322", 3.0),
        ("Li10GeP2S12_P42nmc", 12.0),
        ("Na3OCl_Pm-3m", 3.0),
    ],
)
def test_the_most_ions_with_exclusions_kept(name: str, most: float) -> None:
    p = prototypes.load(name)
    assert capacity(p, tuple(s.label for s in p.sites if s.mobile)) == pytest.approx(most)


@pytest.mark.parametrize("name", prototypes.names())
def test_every_prototype_holds_its_own_ions(name: str) -> None:
    p = prototypes.load(name)
    target = base_target(p)
    assert capacity(p, tuple(target.mobile.capacity)) >= target.mobile_amount - 1e-6
    assert count_atoms(target, 720) is not None


@pytest.mark.parametrize(
    ("recipe", "room"),
    [
        ({"prototype": "Na3Zr2Si2PO12_R-3c", "substitute": {"Zr": {"Mg": 0.75}}}, "1"),
        ({"prototype": "Li6PS5Cl_F-43m", "substitute": {"P": {"Ge": 0.25}}}, "0"),
        ({"prototype": "Li7La3Zr2O12_Ia-3d", "substitute": {"Zr": {"Y": 0.75}}}, "0.5"),
    ],
)
def test_interstitials_beyond_the_capacity_are_refused(recipe: dict, room: str) -> None:
    c = ask(recipe)
    assert c.outcome is Outcome.NOT_NEUTRAL
    assert f"has room for {room} on sites with known coordinates, no two ions closer than they can be" in c.reason


def test_the_last_free_site_may_be_filled() -> None:
    c = ask({"prototype": "Na3Zr2Si2PO12_R-3c", "substitute": {"Zr": {"Mg": 0.5}}})
    assert (c.outcome, c.realised_formula) == (Outcome.COMPLETED, "Na4Zr1.5Mg0.5Si2PO12")


def test_crowded_ions_keep_their_exclusion_distance() -> None:
    s = GenerateSettings.model_validate(
        {
            "recipes": [{"prototype": "Na3PS4_I-43m", "substitute": {"P": {"Si": 0.25}}}],
            "ordering": {"n_configurations": 1, "chains": 8, "sweeps": 20},
        }
    )
    _, (k,) = configure(expand(s)[0], s, seed=0)
    check = next(c for c in k.checks if c.name == "exclusive sites")
    assert check.passed
    assert check.value == pytest.approx(2.4, abs=0.02)
    assert "moved aside" in check.detail


# --- co-dopants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("substitute", "compensation", "words"),
    [
        ({"Zr": {"Mg": 0.25}}, {"mechanism": "codopant", "site": "O", "dopant": "F"}, "write mechanism: anion"),
        ({"Zr": {"Mg": 0.25}}, {"mechanism": "anion", "site": "Si", "dopant": "P"}, "write mechanism: codopant"),
        ({"Zr": {"Mg": 0.25}}, {"mechanism": "codopant", "site": "Si", "dopant": "F"}, "that are both cations"),
        ({"Zr": {"Mg": 0.25}}, {"mechanism": "anion", "site": "O", "dopant": "P"}, "that are both anions"),
    ],
)
def test_codopants_are_cations_and_anions_anions(substitute: dict, compensation: dict, words: str) -> None:
    with pytest.raises(ProblemsError, match=words):
        ask({"prototype": "Na3Zr2Si2PO12_R-3c", "substitute": substitute, "compensation": compensation})


@pytest.mark.parametrize(
    ("site", "dopant", "words"),
    [
        ("P", "Si", "changes the charge by -1 each, the wrong way"),
        ("Zr", "Hf", "Hf carries +4 as Zr does and balances nothing"),
    ],
)
def test_codopants_of_the_wrong_step_are_refused(site: str, dopant: str, words: str) -> None:
    c = ask(
        {
            "prototype": "Na3Zr2Si2PO12_R-3c",
            "substitute": {"Zr": {"Mg": 0.25}},
            "compensation": {"mechanism": "codopant", "site": site, "dopant": dopant},
        }
    )
    assert c.outcome is Outcome.NOT_NEUTRAL
    assert words in c.reason


def test_an_expansion_knows_what_was_named() -> None:
    grid = {"grid": {"prototypes": ["Na3PS4_P-421c"], "sites": ["S"], "dopants": ["Cl"], "levels": [0.125, 0.25]}}
    named = {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.25}}}
    found = expand_recipes(GenerateSettings.model_validate({"recipes": [grid, named]}))
    assert len(found.candidates) == 3
    assert found.named == {"Na3PS4_P-421c--Cl_S-0.25": 1}
