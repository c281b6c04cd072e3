"""Formulas to amounts, ions and radii."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Species

from ionsieve.errors import InputError
from ionsieve.generate.formula import flatten, format_formula, parse_formula
from ionsieve.generate.ions import COMMON_CHARGES, parse_ion, radius_A


@pytest.mark.parametrize(
    "text", ["Na3.4Sc0.4Zr1.6Si2PO12", "MgZr4(PO4)6", "Li1.5Al0.5Ge1.5(PO4)3", "Na3Zr2(Si0.5P0.5O4)3", "K3OI"]
)
def test_amounts_agree_with_pymatgen(text: str) -> None:
    assert parse_formula(text) == pytest.approx(Composition(text).get_el_amt_dict())


def test_cluster_anions() -> None:
    assert parse_formula("Na3OCl0.5(BH4)0.5") == {"Na": 3, "O": 1, "Cl": 0.5, "BH4": 0.5}
    assert parse_formula("Na3OBH4") == {"Na": 3, "O": 1, "B": 1, "H": 4}
    assert parse_formula("Na3OBH4", groups=["BH4"]) == {"Na": 3, "O": 1, "BH4": 1}
    assert flatten({"Na": 3, "BH4": 0.5}) == {"Na": 3, "B": 0.5, "H": 2}


@given(
    st.dictionaries(
        st.sampled_from(["Na", "Zr", "Si", "P", "O", "Cl", "BH4", "NO2"]),
        st.integers(1, 40000).map(lambda n: n / 1000),
        min_size=1,
    )
)
def test_written_formulas_are_read_back(amounts: dict[str, float]) -> None:
    again = parse_formula(format_formula(amounts), groups=["BH4", "NO2"])
    assert again == pytest.approx(amounts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Na3Xx", "unknown element"),
        ("Na3(PO4", "never closes"),
        ("Na3PO4)", "never opened"),
        ("3Na", "nothing before"),
        ("Na-3", "unexpected"),
        ("", "empty"),
    ],
)
def test_bad_formulas_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_formula(text)


def test_ions() -> None:
    assert parse_ion("Si4+") == ("Si", 4)
    assert parse_ion("Cl-") == ("Cl", -1)
    with pytest.raises(InputError, match="no ion"):
        parse_ion("Si")


@pytest.mark.parametrize(("symbol", "charge"), [("Na", 1), ("Zr", 4), ("Mg", 2), ("O", -2), ("Cl", -1), ("Sc", 3)])
def test_radii_are_shannons(symbol: str, charge: int) -> None:
    expected = Species(symbol, charge).get_shannon_radius("VI", radius_type="ionic")
    assert radius_A(symbol, charge, 6) == pytest.approx(expected)


def test_every_usual_ion_but_the_odd_ones_has_a_radius() -> None:
    without = {s for s, q in COMMON_CHARGES.items() if radius_A(s, q) is None}
    assert without <= {"Hg", "N"}
