"""Records go to JSON and back unchanged, and refuse what they must."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ionsieve.errors import DataError
from ionsieve.records import Candidate, Configuration, CrystalStructure, Estimate, Frozen, Record, Run
from ionsieve.verdicts import Flag, Verdict

finite = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.tuples(finite, finite, finite)
names = st.text(alphabet="abcXYZ019-_.", min_size=1, max_size=20)


@st.composite
def structures(draw):
    n = draw(st.integers(0, 5))
    return CrystalStructure(
        lattice_A=draw(st.tuples(vectors, vectors, vectors)),
        symbols=draw(st.tuples(*[st.sampled_from(["Na", "Cl", "Zr", "S"])] * n)),
        positions_A=draw(st.tuples(*[vectors] * n)),
        oxidation_states=draw(st.one_of(st.just(()), st.tuples(*[finite] * n))),
    )


@st.composite
def estimates(draw):
    kind = draw(st.sampled_from(list(Verdict)))
    flags = tuple(draw(st.lists(st.sampled_from(list(Flag)), unique=True, max_size=3)))
    common = {"quantity": "conductivity", "kind": kind, "flags": flags, "method": draw(names)}
    if kind in (Verdict.VALUE, Verdict.INDICATIVE):
        low95, low68, value, high68, high95 = sorted(draw(st.tuples(*[finite] * 5)))
        return Estimate(**common, value=value, low68=low68, high68=high68, low95=low95, high95=high95)
    if kind is Verdict.UPPER_LIMIT:
        return Estimate(**common, value=draw(finite))
    return Estimate(**common, reason="melted")


@given(structures())
def test_configuration_round_trip(structure):
    record = Configuration(
        configuration_id="a--c0", candidate_id="a", index=0, structure=structure, method="ewald", seed=3
    )
    back = Configuration.from_json(record.to_json())
    assert back == record
    assert back.to_json() == record.to_json()


@given(estimates())
def test_estimate_round_trip(estimate):
    assert Estimate.model_validate_json(estimate.model_dump_json()) == estimate


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_nan_and_no_infinity(bad):
    with pytest.raises(ValidationError):
        Run(run_id="r", configuration_id="c", candidate_id="a", temperature_K=bad, seed=1)


def test_an_estimate_needs_its_interval():
    with pytest.raises(ValidationError, match="needs its 68 and 95"):
        Estimate(quantity="conductivity", kind=Verdict.VALUE, value=1.0)
    with pytest.raises(ValidationError, match="enclose"):
        Estimate(quantity="conductivity", kind=Verdict.VALUE, value=1.0, low68=2, high68=3, low95=0, high95=4)
    with pytest.raises(ValidationError, match="without intervals"):
        Estimate(quantity="conductivity", kind=Verdict.UPPER_LIMIT, value=1.0, low95=0.0)
    with pytest.raises(ValidationError, match="one reason"):
        Estimate(quantity="conductivity", kind=Verdict.REFUSED)
    with pytest.raises(ValueError, match="unknown quantity"):
        Estimate.refused("conductance", "no")


def test_header_tells_foreign_records_apart():
    run = Run(run_id="r", configuration_id="c", candidate_id="a", temperature_K=800, seed=1)
    with pytest.raises(DataError, match="this is a Run, not a Candidate"):
        Candidate.from_json(run.to_json(), where="x.json")
    newer = run.to_json().replace('"schema": 1', '"schema": 99')
    with pytest.raises(DataError, match=r"schema 99; this version of ionsieve reads schema 1") as caught:
        Run.from_json(newer, where="records/run.json")
    assert "records/run.json" in str(caught.value)
    assert "ionsieve clean" in str(caught.value)


def test_structure_conversions_agree():
    s = CrystalStructure(
        lattice_A=((4.0, 0, 0), (1.0, 5.0, 0), (0, 0, 6.0)),
        symbols=("Na", "Cl"),
        positions_A=((0.1, 0.2, 9.3), (2.0, 2.5, -3.0)),
        oxidation_states=(1, -1),
        site_labels=("Na1", "Cl1"),
    )
    assert CrystalStructure.from_ase(s.to_ase(), like=s) == s
    back = CrystalStructure.from_pymatgen(s.to_pymatgen())
    assert back.symbols == s.symbols
    assert back.oxidation_states == s.oxidation_states
    assert back.site_labels == s.site_labels
    assert s.to_ase().get_volume() == pytest.approx(s.to_pymatgen().volume)


@pytest.mark.parametrize("wrong", ["7", True, 2.5])
def test_numbers_of_records_are_strict(wrong):
    """DESIGN: records are strict. Texts and truth values are no numbers, and a fraction is no integer."""

    class Inner(Frozen):
        count: int
        optional: int | None = None

    class Outer(Record):
        inner: Inner
        many: tuple[int, ...] = ()
        named: dict[str, int] = {}

    good = {"inner": {"count": 7}, "many": [1, 2], "named": {"a": 1}}
    assert Outer.model_validate(good).inner.count == 7
    for bad in (
        {"inner": {"count": wrong}},
        {"inner": {"count": 7, "optional": wrong}},
        {"inner": {"count": 7}, "many": [1, wrong]},
        {"inner": {"count": 7}, "named": {"a": wrong}},
    ):
        with pytest.raises(ValidationError):
            Outer.model_validate(bad)
        with pytest.raises(DataError):
            Outer.from_json(json.dumps(bad))
