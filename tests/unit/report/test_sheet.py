# ruff: noqa: E501
"""Synthesis sheets: masses against hand calculations, one candidate of each family; what cannot be made says why."""

import csv
import io

import pytest
from pydantic import ValidationError

from ionsieve.errors import InputError
from ionsieve.report.exports.select import choose
from ionsieve.report.sheet import SheetSettings, sheet_view, weigh, write_sheets
from ionsieve.report.sheet.balance import _contents, balance
from ionsieve.report.sheet.families import FAMILIES, family
from ionsieve.report.sheet.writing import sheet_csv
from ionsieve.resources import data_folder

# abridged standard atomic weights of IUPAC; the masses below follow by hand from these and the equations
W = {
    "H": 1.008, "Li": 6.94, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "Si": 28.085,
    "P": 30.974, "S": 32.06, "Cl": 35.45, "K": 39.098, "Sc": 44.956, "Zn": 65.38, "Se": 78.971, "Y": 88.906, "Zr": 91.224, "Te": 127.60,
    "La": 138.905, "Hf": 178.49, "Ta": 180.948, "W": 183.84,
}  # fmt: skip


def mass(**atoms: float) -> float:
    return sum(W[s] * n for s, n in atoms.items())


Na2CO3 = mass(Na=2, C=1, O=3)
ZrO2, SiO2, MgO = mass(Zr=1, O=2), mass(Si=1, O=2), mass(Mg=1, O=1)
NH4H2PO4 = mass(N=1, H=6, P=1, O=4)
Na2S, P2S5, NaCl = mass(Na=2, S=1), mass(P=2, S=5), mass(Na=1, Cl=1)

# family, composition, {precursor: (moles by hand, molar mass by hand)}
HAND = [
    # 1.55 Na2CO3 + 1.95 ZrO2 + 0.05 MgO + 2 SiO2 + NH4H2PO4 -> Na3.1Zr1.95Mg0.05Si2PO12 + gases
    (
        "nasicon",
        {"Na": 3.1, "Zr": 1.95, "Mg": 0.05, "Si": 2, "P": 1, "O": 12},
        {
            "Na2CO3": (1.55, Na2CO3),
            "ZrO2": (1.95, ZrO2),
            "MgO": (0.05, MgO),
            "SiO2": (2, SiO2),
            "NH4H2PO4": (1, NH4H2PO4),
        },
    ),
    # 1.4375 Na2S + 0.0625 NaCl + 0.5 P2S5 -> Na2.9375PS3.9375Cl0.0625
    (
        "sulfide",
        {"Na": 2.9375, "P": 1, "S": 3.9375, "Cl": 0.0625},
        {"Na2S": (1.4375, Na2S), "NaCl": (0.0625, NaCl), "P2S5": (0.5, P2S5)},
    ),
    # 0.9 Na2O + 0.1 MgO + NaCl -> Na2.8Mg0.1OCl
    (
        "antiperovskite",
        {"Na": 2.8, "Mg": 0.1, "O": 1, "Cl": 1},
        {"Na2O": (0.9, mass(Na=2, O=1)), "MgO": (0.1, MgO), "NaCl": (1, NaCl)},
    ),
    # 2.25 NaCl + 0.25 YCl3 + 0.75 ZrCl4 -> Na2.25Y0.25Zr0.75Cl6
    (
        "halide",
        {"Na": 2.25, "Y": 0.25, "Zr": 0.75, "Cl": 6},
        {"NaCl": (2.25, NaCl), "YCl3": (0.25, mass(Y=1, Cl=3)), "ZrCl4": (0.75, mass(Zr=1, Cl=4))},
    ),
    # 6.4 LiOH + 1.5 La2O3 + 1.4 ZrO2 + 0.3 Ta2O5 -> Li6.4La3Zr1.4Ta0.6O12
    (
        "garnet",
        {"Li": 6.4, "La": 3, "Zr": 1.4, "Ta": 0.6, "O": 12},
        {
            "LiOH": (6.4, mass(Li=1, O=1, H=1)),
            "La2O3": (1.5, mass(La=2, O=3)),
            "ZrO2": (1.4, ZrO2),
            "Ta2O5": (0.3, mass(Ta=2, O=5)),
        },
    ),
    # 2.5 Li2S + 0.5 P2S5 + LiCl -> Li6PS5Cl
    (
        "argyrodite",
        {"Li": 6, "P": 1, "S": 5, "Cl": 1},
        {"Li2S": (2.5, mass(Li=2, S=1)), "P2S5": (0.5, P2S5), "LiCl": (1, mass(Li=1, Cl=1))},
    ),
    # MgSe + 2 Sc + 3 Se -> MgSc2Se4
    (
        "spinel",
        {"Mg": 1, "Sc": 2, "Se": 4},
        {"MgSe": (1, mass(Mg=1, Se=1)), "Sc": (2, W["Sc"]), "Se": (3, W["Se"])},
    ),
    # Na2CO3 + 2 ZnO + TeO2 + O2/2 -> Na2Zn2TeO6 + CO2
    (
        "layered",
        {"Na": 2, "Zn": 2, "Te": 1, "O": 6},
        {"Na2CO3": (1, Na2CO3), "ZnO": (2, mass(Zn=1, O=1)), "TeO2": (1, mass(Te=1, O=2))},
    ),
    # 0.835 Na2CO3 + 0.67 MgO + 5.165 Al2O3 -> Na1.67Mg0.67Al10.33O17
    (
        "beta_alumina",
        {"Na": 1.67, "Mg": 0.67, "Al": 10.33, "O": 17},
        {"Na2CO3": (0.835, Na2CO3), "MgO": (0.67, MgO), "Al2O3": (5.165, mass(Al=2, O=3))},
    ),
]


@pytest.mark.parametrize(("name", "composition", "hand"), HAND, ids=[h[0] for h in HAND])
def test_masses_are_those_by_hand(name, composition, hand):
    batch = weigh(composition, "target", family(name), batch_g=10.0, excess_wt_percent={})
    moles = 10.0 / mass(**composition)
    assert batch.product_mol == pytest.approx(moles, rel=3e-4)
    assert {w.precursor for w in batch.weighings} == set(hand)
    for w in batch.weighings:
        x, M = hand[w.precursor]
        assert w.moles_per_formula == pytest.approx(x, abs=1e-6)
        assert w.weigh_g == pytest.approx(moles * x * M, rel=5e-4)
    lost = sum(moles * x * M for x, M in hand.values()) - 10.0
    assert batch.loss_g == pytest.approx(lost, abs=5e-3)


def test_the_hand_cases_cover_every_family_with_guidance_and_every_family_shipped():
    assert {h[0] for h in HAND} == set(FAMILIES)
    import yaml

    shipped = {yaml.safe_load(f.read_text())["family"] for f in data_folder("structures").glob("*.yaml")}
    assert shipped <= set(FAMILIES)


def test_excess_and_purity_change_what_is_weighed_as_on_the_sheet():
    composition = {"Na": 3, "Zr": 2, "Si": 2, "P": 1, "O": 12}
    plain = weigh(composition, "NZSP", family("nasicon"), batch_g=5, excess_wt_percent={})
    usual = weigh(composition, "NZSP", family("nasicon"), batch_g=5)
    pure = weigh(
        composition, "NZSP", family("nasicon"), batch_g=5, excess_wt_percent={}, purity_wt_percent={"ZrO2": 98}
    )
    by = lambda batch, p: next(w.weigh_g for w in batch.weighings if w.precursor == p)  # noqa: E731
    assert by(usual, "Na2CO3") == pytest.approx(1.10 * by(plain, "Na2CO3"))
    assert by(usual, "ZrO2") == by(plain, "ZrO2")
    assert by(pure, "ZrO2") == pytest.approx(by(plain, "ZrO2") / 0.98)


def test_an_excess_of_what_is_not_weighed_is_refused():
    with pytest.raises(InputError, match="Li2CO3 is not weighed"):
        weigh({"Na": 3, "P": 1, "S": 4}, "Na3PS4", family("sulfide"), batch_g=5, excess_wt_percent={"Li2CO3": 10})


def sheet_mass(precursor: str) -> float:
    batch = weigh(
        {"Na": 1, "Mg": 1, "Ca": 1, "S": 1, "Cl": 1, "O": 1},
        "x",
        family("nasicon"),
        batch_g=1.0,
        precursors=(precursor, *(s for s in ("Na", "Mg", "Ca", "S", "Cl"))),
    )
    return next(w.molar_mass_g_per_mol for w in batch.weighings if w.precursor == precursor)


WATER = mass(H=2, O=1)


@pytest.mark.parametrize("written", ["Na2CO3.10H2O", "Na2CO3·10H2O", "Na2CO3 * 10 H2O", "Na2CO3(H2O)10"])
def test_water_of_crystallisation_is_weighed_however_it_is_written(written):
    assert sheet_mass(written) == pytest.approx(Na2CO3 + 10 * WATER, rel=1e-4)


@pytest.mark.parametrize(
    ("written", "atoms"),
    [
        ("MgCl2.6H2O", {"Mg": 1, "Cl": 2, "H": 12, "O": 6}),
        ("MgCl2.H2O", {"Mg": 1, "Cl": 2, "H": 2, "O": 1}),
        ("CaSO4.0.5H2O", {"Ca": 1, "S": 1, "H": 1, "O": 4.5}),
        ("Mg5(CO3)4(OH)2.4H2O", {"Mg": 5, "C": 4, "O": 18, "H": 10}),
        ("4MgCO3.Mg(OH)2.4H2O", {"Mg": 5, "C": 4, "O": 18, "H": 10}),
        ("Li1.3Al0.3Ti1.7(PO4)3", {"Li": 1.3, "Al": 0.3, "Ti": 1.7, "P": 3, "O": 12}),
        ("Li0.5H2O", {"Li": 0.5, "H": 2, "O": 1}),
    ],
)
def test_the_dot_of_an_adduct_is_told_from_a_decimal_point(written, atoms):
    assert _contents(written) == pytest.approx(atoms)


def test_a_missing_element_is_named():
    with pytest.raises(InputError, match="none brings W") as caught:
        balance({"Na": 2.9, "P": 0.9, "W": 0.1, "S": 4}, ["Na2S", "P2S5"])
    assert "--precursor" in str(caught.value)


def test_a_ratio_that_cannot_be_reached_names_the_element():
    # Na2S and P2S5 alone give too little sulphur for Na3PS4.5
    with pytest.raises(InputError, match="missing is S"):
        balance({"Na": 3, "P": 1, "S": 4.5}, ["Na2S", "P2S5"])
    # and all of the phosphorus brings too much of it for Na3PS3.5
    with pytest.raises(InputError, match="missing is P"):
        balance({"Na": 3, "P": 1, "S": 3.5}, ["Na2S", "P2S5"])


def test_foreign_elements_stay_out_of_the_mortar():
    assert set(balance({"Na": 3, "P": 1, "S": 4}, ["NaCl", "Na2S", "P2S5"])) == {"Na2S", "P2S5"}


def test_an_unknown_family_lists_the_known():
    with pytest.raises(InputError, match="nasicon"):
        family("nasicn")


def test_every_winner_of_a_campaign_gets_its_sheet(results, tmp_path):
    written = write_sheets(results, tmp_path)
    pages = [p for p in written if p.suffix == ".html"]
    assert len(pages) == results.ranking.top_k
    for page, one in zip(pages, choose(results, top=5), strict=True):
        text = page.read_text()
        assert "Weigh" in text
        assert ">guidance<" in text
        assert ">computed<" in text
        assert "http" not in text.split("<body>")[1]
        rows = list(csv.DictReader(io.StringIO(page.with_suffix(".weighing.csv").read_text())))
        brought: dict[str, float] = {}
        from pymatgen.core import Composition

        for row in rows:
            for element, amount in Composition(row["precursor"]).items():
                brought[element.symbol] = brought.get(element.symbol, 0.0) + float(row["moles_per_formula"]) * amount
        exchanged = family(one.candidate.family).exchanged
        for element, amount in one.candidate.composition.items():
            if element not in exchanged:
                assert brought[element] == pytest.approx(amount, abs=2e-3)


def test_a_winner_that_cannot_be_made_is_named_and_the_others_are_written(results, tmp_path):
    told: list[tuple[str, str]] = []
    settings = SheetSettings(precursors=("Na2S", "P2S5", "NaCl", "ZrO2"), excess_wt_percent={})
    written = write_sheets(
        results,
        tmp_path / "some",
        settings=settings,
        top=5,
        refuse=lambda formula, error: told.append((formula, str(error))),
    )
    assert {p.name.split("_")[0] for p in written} == {"001", "002"}
    assert [formula for formula, _ in told] == [r.formula for r in results.ranking.rows[2:5]]
    assert "Hf" in told[0][1]
    with pytest.raises(InputError):
        write_sheets(results, tmp_path / "none", settings=settings, top=5)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["Foo2", "Na2O)(", "", "hello"])
def test_a_precursor_that_is_no_formula_is_refused(text):
    with pytest.raises(InputError, match="no chemical formula"):
        balance({"Na": 1, "Cl": 1}, [text])


def test_the_sheet_predicts_the_impedance_and_the_pattern(results):
    chosen = choose(results, top=1)[0]
    sheet = sheet_view(results, chosen, SheetSettings(impedance_temperatures_C=(26.85, 100.0)))
    assert sheet.expectations[0].sigma_S_per_cm == pytest.approx(chosen.row.conductivity.value, rel=1e-6)
    assert sheet.expectations[1].sigma_S_per_cm > sheet.expectations[0].sigma_S_per_cm
    first = sheet.expectations[0]
    assert (
        first.low95_S_per_cm
        < first.low68_S_per_cm
        < first.sigma_S_per_cm
        < first.high68_S_per_cm
        < first.high95_S_per_cm
    )
    _, pattern = sheet.patterns[-1]
    assert max(r.intensity_percent for r in pattern.reflections) == pytest.approx(100, abs=0.01)
    for r in pattern.reflections:  # Bragg, Cu K alpha 1.54184 Å
        import math

        assert 2 * r.d_A * math.sin(math.radians(r.two_theta_deg / 2)) == pytest.approx(1.54184, rel=1e-3)
    assert max(pattern.profile_percent) == pytest.approx(100)


def test_a_bounded_candidate_gets_its_limit_and_no_prediction(results):
    bounded = next(r for r in results.ranking.rows if r.section == "bounded")
    sheet = sheet_view(results, choose(results, candidates=[bounded.candidate_id])[0], SheetSettings())
    assert sheet.expectations == ()


@pytest.mark.parametrize(
    "bad", [{"batch_g": 0}, {"purity_wt_percent": {"Na2S": 0}}, {"excess_wt_percent": {"Na2S": -1}}]
)
def test_settings_that_mean_nothing_are_refused(bad):
    with pytest.raises(ValidationError):
        SheetSettings.model_validate(bad)


def test_the_csv_has_the_masses(results):
    sheet = sheet_view(results, choose(results, top=1)[0], SheetSettings(batch_g=2))
    rows = list(csv.DictReader(io.StringIO(sheet_csv(sheet))))
    assert [float(r["weigh_g"]) for r in rows] == pytest.approx([w.weigh_g for w in sheet.batch.weighings], abs=6e-5)
