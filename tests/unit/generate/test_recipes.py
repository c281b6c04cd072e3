"""The three ways to ask, compensation, refusals and wrong input."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ionsieve.errors import InputError, ProblemsError
from ionsieve.generate import GenerateSettings, expand
from ionsieve.records import Candidate
from ionsieve.verdicts import Flag, Outcome


def ask(*recipes: object, **more: object) -> list[Candidate]:
    return expand(GenerateSettings.model_validate({"recipes": list(recipes), **more}))


@pytest.mark.parametrize(
    ("formula", "prototype", "identity", "mechanism"),
    [
        ("Na3.4Sc0.4Zr1.6Si2PO12", None, "Na3Zr2Si2PO12_R-3c--Sc_Zr-0.4", "interstitial"),
        ("Na3.4Zr1.9Zn0.1Si2.2P0.8O12", None, "Na3Zr2Si2PO12_R-3c--Zn_Zr-0.1+Si_P-0.2", "interstitial"),
        ("Na2.9375PS3.9375Cl0.0625", "Na3PS4_P-421c", "Na3PS4_P-421c--Cl_S-0.0625", "vacancy"),
        ("Na3OBr0.6I0.4", None, "Na3OBr_Pm-3m--I_Br-0.4", "none"),
        ("Na2.9Mg0.05OCl", None, "Na3OCl_Pm-3m--Mg_Na-0.05", "vacancy"),
        ("Li6.4La3Zr1.4Ta0.6O12", None, "Li7La3Zr2O12_Ia-3d--Ta_Zr-0.6", "vacancy"),
        ("Na3OCl0.5(BH4)0.5", None, "Na3OCl_Pm-3m--BH4_Cl-0.5", "none"),
        ("Na3OBH4", None, "Na3OBH4_Pm-3m--undoped", "none"),
        ("Na6Zr4Si4P2O24", None, "Na3Zr2Si2PO12_R-3c--undoped", "none"),
        ("CaZr4(PO4)6", None, "NaZr2P3O12_R-3c--Ca+undoped", "none"),
    ],
)
def test_a_formula_is_solved(formula: str, prototype: str | None, identity: str, mechanism: str) -> None:
    (c,) = ask({"formula": formula, "prototype": prototype})
    assert (c.candidate_id, c.outcome, c.compensation) == (identity, Outcome.COMPLETED, mechanism)


def test_the_mobile_ion_of_a_formula_can_replace_the_prototypes() -> None:
    (c,) = ask("MgZr4(PO4)6")
    assert (c.mobile_ion, c.mobile_charge, c.realised_formula) == ("Mg", 2, "Mg0.5Zr2P3O12")


def test_a_formula_that_fits_nothing_is_a_refused_candidate() -> None:
    (c,) = ask("BaTiO3")
    assert c.outcome is Outcome.NOT_REALISABLE
    assert "fits none of the 34 prototypes" in c.reason
    (c,) = ask({"formula": "Na3PS4", "prototype": "Na3Zr2Si2PO12_R-3c"})
    assert c.outcome is Outcome.NOT_REALISABLE


def test_a_charged_formula_is_refused_with_what_would_be_neutral() -> None:
    (c,) = ask("Na3.4Sc0.2Zr1.8Si2PO12")
    assert c.outcome is Outcome.NOT_NEUTRAL
    assert "+0.2 charges" in c.reason
    assert "neutral with 3.2 Na instead of 3.4" in c.reason
    (c,) = ask("Na3V2(PO4)3")
    assert "neutral with oxidation_states: {V: 3}, or other oxidation states (taken: Na+1, V+5" in c.reason
    (c,) = ask({"formula": "Na3V2(PO4)3", "oxidation_states": {"V": 3}})
    assert (c.prototype, c.outcome) == ("NaZr2P3O12_R-3c", Outcome.COMPLETED)


def test_substitutions_on_several_sites_and_ranges() -> None:
    found = ask(
        {
            "prototype": "Na3Zr2Si2PO12_R-3c",
            "substitute": {"Zr": {"Sc": {"from": 0.1, "to": 0.3, "step": 0.1}}, "P": {"Si": [0, 0.5]}},
        }
    )
    assert [c.target_formula for c in found] == [
        "Na3.1Zr1.9Sc0.1Si2PO12",
        "Na3.6Zr1.9Sc0.1Si2.5P0.5O12",
        "Na3.2Zr1.8Sc0.2Si2PO12",
        "Na3.7Zr1.8Sc0.2Si2.5P0.5O12",
        "Na3.3Zr1.7Sc0.3Si2PO12",
        "Na3.8Zr1.7Sc0.3Si2.5P0.5O12",
    ]


def test_a_grid_keeps_to_listed_dopants_charges_and_radii() -> None:
    found = ask({"grid": {"families": ["antiperovskite"], "levels": [0.1], "dopants": ["Ca", "Br", "Zr"]}})
    pairs = {(c.prototype, c.candidate_id.split("--")[1]) for c in found}
    assert ("Na3OCl_Pm-3m", "Br_Cl-0.1") in pairs
    assert ("Na3OBr_Pm-3m", "undoped") in pairs
    assert not any("Zr" in p[1] for p in pairs)  # no anti-perovskite lists it
    assert not any(p == ("Na3OBr_Pm-3m", "Br_Br-0.1") for p in pairs)
    assert len({c.candidate_id for c in found}) == len(found)


def test_site_fractions_compare_prototypes() -> None:
    found = ask(
        {
            "grid": {
                "prototypes": ["Na3Zr2Si2PO12_R-3c", "Na3SbS4_I-43m"],
                "sites": ["Zr", "Sb"],
                "dopants": ["Sc", "W"],
                "levels": [0.1],
                "levels_are": "site_fraction",
                "include_undoped": False,
            }
        }
    )
    assert [c.target_formula for c in found] == ["Na3.2Zr1.8Sc0.2Si2PO12", "Na2.9Sb0.9W0.1S4"]


def test_the_same_composition_is_made_once() -> None:
    recipe = {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}}
    found = ask(recipe, recipe, {"formula": "Na2.875PS3.875Cl0.125", "prototype": "Na3PS4_P-421c"})
    assert len(found) == 1
    other = {**recipe, "supercell": {"matrix": [2, 2, 2]}}
    assert [c.candidate_id for c in ask(recipe, other)] == [
        "Na3PS4_P-421c--Cl_S-0.125",
        "Na3PS4_P-421c--Cl_S-0.125~2",
    ]


# --- compensation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prototype", "substitute", "mechanism", "formula"),
    [
        ("Na3PS4_P-421c", {"S": {"Cl": 0.125}}, "vacancy", "Na2.875PS3.875Cl0.125"),
        ("Na3PS4_P-421c", {"S": {"Se": 0.5}}, "none", "Na3PS3.5Se0.5"),
        ("Na3PS4_P-421c", {"S": {"O": 0.5}}, "none", "Na3PS3.5O0.5"),
        ("Na3PS4_P-421c", {"P": {"Sb": 0.5}}, "none", "Na3P0.5Sb0.5S4"),
        ("Na3SbS4_I-43m", {"Sb": {"W": 0.125}}, "vacancy", "Na2.875Sb0.875W0.125S4"),
        ("Na3Zr2Si2PO12_R-3c", {"Zr": {"Mg": 0.25}}, "interstitial", "Na3.5Zr1.75Mg0.25Si2PO12"),
        ("Na3OCl_Pm-3m", {"Na": {"Sr": 0.125}}, "vacancy", "Na2.75Sr0.125OCl"),
        ("Na3OCl_Pm-3m", {"O": {"F": 0.125}}, "vacancy", "Na2.875O0.875F0.125Cl"),
        ("NaZr2P3O12_R-3c", {"P": {"Si": 1}}, "interstitial", "Na2Zr2P2SiO12"),
    ],
)
def test_auto_picks_and_says_why(prototype: str, substitute: dict, mechanism: str, formula: str) -> None:
    (c,) = ask({"prototype": prototype, "substitute": substitute})
    assert (c.compensation, c.target_formula, c.outcome) == (mechanism, formula, Outcome.COMPLETED)
    host, dopants = next(iter(substitute.items()))
    assert f"{next(iter(dopants.values())):g} {next(iter(dopants))}" in c.compensation_reason
    assert host in c.compensation_reason
    assert c.changes


def test_a_codopant_balances() -> None:
    (c,) = ask(
        {
            "prototype": "Na3Zr2Si2PO12_R-3c",
            "substitute": {"Zr": {"Mg": 0.25}},
            "compensation": {"mechanism": "codopant", "site": "Si", "dopant": "P"},
        }
    )
    assert c.target_formula == "Na3Zr1.75Mg0.25Si1.5P1.5O12"
    assert c.compensation == "codopant"
    assert "balanced by P0.5 on Si (+1 each)" in c.compensation_reason
    assert c.candidate_id.endswith("Mg_Zr-0.25+P_Si-0.5")


def test_an_anion_balances() -> None:
    (c,) = ask(
        {
            "prototype": "Na3OCl_Pm-3m",
            "substitute": {"Cl": {"S": 0.125}},
            "compensation": {"mechanism": "anion", "site": "O", "dopant": "F"},
        }
    )
    assert c.target_formula == "Na3O0.875F0.125Cl0.875S0.125"
    assert c.compensation == "anion"


def test_what_cannot_be_balanced_is_refused_with_the_charge_and_the_mends() -> None:
    (c,) = ask({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"S": 0.125}}})
    assert c.outcome is Outcome.NOT_NEUTRAL
    assert "leaves -0.125 charges a formula unit" in c.reason
    assert "has room for 0 on sites with known coordinates" in c.reason
    assert "codopant: a cation of higher charge" in c.reason
    assert "F on O" in c.reason
    (c,) = ask({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}, "compensation": "none"})
    assert c.outcome is Outcome.NOT_NEUTRAL
    assert "vacancy: 0.125 Na fewer" in c.reason
    (c,) = ask({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}, "compensation": "interstitial"})
    assert "adding Na would make it worse" in c.reason
    (c,) = ask({"prototype": "NaAlCl4_P212121", "substitute": {"Al": {"Zr": 1.0}}, "compensation": "interstitial"})
    assert c.outcome is Outcome.NOT_NEUTRAL


def test_more_vacancies_than_ions_are_refused() -> None:
    (c,) = ask({"prototype": "NaAlCl4_P212121", "substitute": {"Al": {"Nb": 1.0}}})
    assert c.outcome is Outcome.NOT_NEUTRAL
    assert "more than the 1 Na a formula unit can give" in c.reason


def test_the_framework_and_the_polyanions() -> None:
    (c,) = ask({"prototype": "Na3PS4_P-421c", "substitute": {"P": {"Si": 0.125}}})
    assert c.framework == ("P", "Si", "S")
    assert ("P", "S", 2.6) in c.polyanions
    assert any(a == "Si" and b == "S" and cut > 2.6 for a, b, cut in c.polyanions)
    (c,) = ask({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"BH4": 0.5}}})
    assert c.framework == ("O", "Cl", "B")  # hydrogen turns with its group
    assert c.polyanions == (("B", "H", 1.56),)
    (c,) = ask({"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Sr": 0.125}}})
    assert "Sr" not in c.framework  # it stands on the mobile sites


def test_flags_of_a_composition() -> None:
    (c,) = ask({"prototype": "Na3PS4_P-421c", "substitute": {"P": {"Si": 0.125}}})
    assert Flag.RADIUS_MISMATCH in c.flags
    (c,) = ask({"prototype": "Na3PS4_I-43m", "substitute": {"P": {"Si": 0.06}}})
    assert Flag.COMPOSITION_ERROR in c.flags
    (c,) = ask({"prototype": "Na3OCl_Pm-3m"}, checks={"tolerance_factor": [0.9, 1.0]})
    assert Flag.TOLERANCE_FACTOR in c.flags


# --- wrong input ----------------------------------------------------------------------------------------------------


def problems(*recipes: object) -> list:
    with pytest.raises(ProblemsError) as caught:
        ask(*recipes)
    return list(caught.value.problems)


def test_all_problems_come_at_once_with_their_place() -> None:
    found = problems(
        {"prototype": "Na3PS4_P421c"},
        {"prototype": "Na3PS4_P-421c", "substitute": {"Sx": {"Cl": 0.1}}},
        {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cll": 0.1}}},
        {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 5}}},
        {"formula": "Na3Qq"},
    )
    assert [p.key.split(".")[1] for p in found] == [f"recipes[{k}]" for k in range(5)]
    assert found[0].remedy == "did you mean 'Na3PS4_P-421c'?"
    assert found[2].remedy == "did you mean 'Cl'?"
    assert found[3].expected == "at most 4 a formula unit of Na3PS4"
    assert "unknown element" in found[4].message


def test_a_cation_cannot_replace_an_anion() -> None:
    (p,) = problems({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Mg": 0.1}}})
    assert "cannot stand on the site of S" in p.message


def test_the_charge_of_a_dopant_can_be_stated() -> None:
    recipe = {"prototype": "Na3Zr2Si2PO12_R-3c", "substitute": {"Zr": {"Fe": 0.5}}}
    assert ask(recipe)[0].target_formula.startswith("Na3.5")
    assert ask({**recipe, "oxidation_states": {"Fe": 2}})[0].target_formula.startswith("Na4")


def test_an_unknown_family_and_site_of_a_grid() -> None:
    (p,) = problems({"grid": {"families": ["nasicons"], "levels": 0.1}})
    assert p.remedy == "did you mean 'nasicon'?"
    (p,) = problems({"grid": {"prototypes": ["Na3PS4_P-421c"], "sites": ["Zr"], "levels": 0.1}})
    assert "none of the grid's prototypes has a site 'Zr'" in p.message


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"formula": "Na3PS4", "substitute": {"S": {"Cl": 0.1}}},
        {"grid": {"families": ["nasicon"], "levels": 0.1}, "prototype": "x"},
        {"grid": {"levels": 0.1}},
        {"prototype": "x", "compensation": {"mechanism": "codopant"}},
        {"prototype": "x", "compensation": {"mechanism": "vacancy", "site": "Si"}},
        {"prototype": "x", "substitute": {"Zr": {"Sc": {"from": 0.4, "to": 0.1, "step": 0.1}}}},
        {"prototype": "x", "substitute": {"Zr": {"Sc": -0.1}}},
        {"formula": "Na3;rm"},
    ],
)
def test_malformed_recipes_are_refused(recipe: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        GenerateSettings.model_validate({"recipes": [recipe]})


def test_a_missing_library_folder() -> None:
    with pytest.raises(InputError, match="no such library folder"):
        ask({"prototype": "Na3PS4_P-421c"}, library=["/nowhere"])


@pytest.mark.parametrize(
    ("formula", "prototype", "dopant", "amount"),
    [
        ("Na2.997PS3.997Cl0.003", "Na3PS4_P-421c", "Cl", 0.003),
        ("Na3.002Sc0.002Zr1.998Si2PO12", "Na3Zr2Si2PO12_R-3c", "Sc", 0.002),
        ("Na3OCl0.999Br0.001", "Na3OCl_Pm-3m", "Br", 0.001),
    ],
)
def test_little_of_a_new_species_is_never_rounded_away(
    formula: str, prototype: str, dopant: str, amount: float
) -> None:
    (c,) = ask({"formula": formula, "prototype": prototype}, supercell={"max_atoms": 100, "min_image_A": 6.0})
    assert c.outcome is Outcome.NOT_REALISABLE  # too little for 100 atoms
    assert f"cannot hold {amount:g} {dopant} a formula unit" in c.reason
    assert f"{dopant}_" in c.candidate_id


def test_the_error_is_that_against_the_formula_as_written() -> None:
    (c,) = ask("Na3.003Zr2Si2.003P0.997O12")
    assert c.realised_formula == "Na3Zr2Si2PO12"
    assert c.composition_error == pytest.approx(0.003 / 0.997, rel=1e-3)


def test_two_dopants_share_the_room_of_one_label() -> None:
    name = "Na3Zr2Si2PO12_R-3c"
    (p,) = problems({"prototype": name, "substitute": {"Na1": {"K": 0.8, "Ag": 0.8}}})
    assert "0.8 Ag a formula unit on Na1" in p.message
    assert "there is room for 0.2" in p.message
    (c,) = ask({"prototype": name, "substitute": {"Na1": {"K": 0.5, "Ag": 0.5}}})
    assert c.target_formula == "Na2K0.5Ag0.5Zr2Si2PO12"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_what_is_completed_fits_on_its_labels(first: int, second: int, repeat: int) -> None:
    """Two dopants on one label of a sublattice: refused, or placed with the amounts asked for."""
    recipe = {
        "prototype": "Na3Zr2Si2PO12_R-3c",
        "substitute": {"Na1": {"K": first / 12, "Ag": second / 12}},
        "supercell": {"matrix": [repeat, 1, 1], "composition_tolerance": 0.5},
    }
    if first + second > 12:
        (p,) = problems(recipe)
        assert "there is room for" in p.message
        return
    (c,) = ask(recipe)
    assume(c.outcome is Outcome.COMPLETED)
    mobile = c.provenance["plan"]["counts"]["mobile"]
    assert mobile.get("K", 0) + mobile.get("Ag", 0) <= c.formula_units
    for species, amount in (("K", first / 12), ("Ag", second / 12)):
        assert c.composition.get(species, 0.0) == pytest.approx(amount, rel=c.composition_error + 1e-6)


def test_stated_charges_hold_for_the_prototypes_own_elements() -> None:
    (c,) = ask({"formula": "Li3Ti2P3O12", "prototype": "LiTi2P3O12_R-3c"})
    assert "oxidation_states: {Ti: 3}" in c.reason
    for recipe in (
        {"formula": "Li3Ti2P3O12", "prototype": "LiTi2P3O12_R-3c"},
        {"formula": "Li3Ti2P3O12"},
        {"prototype": "LiTi2P3O12_R-3c"},
    ):
        (c,) = ask({**recipe, "oxidation_states": {"Ti": 3}})
        assert (c.outcome, c.realised_formula) == (Outcome.COMPLETED, "Li3Ti2P3O12")
        assert c.provenance["spec"]["charges"]["Ti"] == 3
    assert "Ti(+3)" in c.compensation_reason


def test_stated_charges_of_what_is_not_there_are_refused() -> None:
    first, second = problems({"prototype": "LiTi2P3O12_R-3c", "oxidation_states": {"Ti": -3, "Fe": 2}})
    assert (first.key, second.key) == (
        "generate.recipes[0].oxidation_states.Ti",
        "generate.recipes[0].oxidation_states.Fe",
    )
    (p,) = problems({"formula": "Na3V2P3O12", "oxidation_states": {"Va": 3}})
    assert "did you mean 'V'" in p.remedy
    (p,) = problems({"grid": {"prototypes": ["NaZr2P3O12_R-3c"], "levels": 0.1}, "oxidation_states": {"Xe": 2}})
    assert "Xe does not occur" in p.message


def test_a_grid_reaches_every_site_of_an_element() -> None:
    grid = {"prototypes": ["Li6PS5Cl_F-43m"], "sites": ["S"], "dopants": ["Se"], "levels": 0.25}
    found = ask({"grid": {**grid, "include_undoped": False}})
    assert [c.changes[0].site for c in found] == ["X1", "X2", "S1"]
    assert len({c.candidate_id for c in found}) == 3
    again = ask({"grid": {**grid, "include_undoped": False, "unlisted": True}})
    assert [c.candidate_id for c in again] == [c.candidate_id for c in found]


def test_all_that_is_wrong_with_a_recipe_is_told() -> None:
    found = problems({"prototype": "Na3PS4_P-421c", "substitute": {"Q": {"Cl": 0.1}, "S": {"Xx": 0.1}, "P": {"Si": 3}}})
    assert len(found) == 3


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": {"from": 0.1, "to": 0.25, "step": 0.1}}}},
            "do not reach 0.25: the last would be 0.2",
        ),
        ({"formula": "Na3PS4", "compensation": "vacancy"}, "leave `compensation` out"),
    ],
)
def test_what_would_be_left_out_in_silence_is_refused(recipe: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerateSettings.model_validate({"recipes": [recipe]})
