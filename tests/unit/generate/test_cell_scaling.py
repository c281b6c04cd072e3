"""The cell follows the doping as bond lengths do."""

from __future__ import annotations

import numpy as np
import pytest

from ionsieve.generate import GenerateSettings, configure, expand, prototypes
from ionsieve.generate.scaling import cell_scale


def scale_of(recipe: dict) -> float:
    settings = GenerateSettings.model_validate({"recipes": [recipe]})
    (c,) = expand(settings)
    p = prototypes.load(c.prototype)
    spec = c.provenance["spec"]
    return cell_scale(p, spec["sublattices"], {**p.charges, **spec["charges"]})


@pytest.mark.parametrize(
    ("name", "substitute", "other"),
    [
        ("Na3PS4_I-43m", {"S": {"Se": 4}}, "Na3PSe4_I-43m"),
        ("Na3PS4_I-43m", {"P": {"Sb": 1}}, "Na3SbS4_I-43m"),
        ("Na3OCl_Pm-3m", {"Cl": {"Br": 1}}, "Na3OBr_Pm-3m"),
        ("Li3OCl_Pm-3m", {"Li": {"Na": 3}}, "Na3OCl_Pm-3m"),
        ("Na3OBr_Pm-3m", {"Na": {"K": 3}, "Br": {"I": 1}}, "K3OI_Pm-3m"),
    ],
)
def test_complete_substitutions_reach_the_other_prototype(name: str, substitute: dict, other: str) -> None:
    a, b = prototypes.load(name), prototypes.load(other)
    volumes = [abs(np.linalg.det(p.cell)) / p.z for p in (a, b)]
    published = (volumes[1] / volumes[0]) ** (1 / 3)
    assert scale_of({"prototype": name, "substitute": substitute}) == pytest.approx(published, abs=0.016)


def test_half_the_substitution_is_half_the_change() -> None:
    full = scale_of({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"Br": 1}}}) - 1
    half = scale_of({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"Br": 0.5}}}) - 1
    assert half == pytest.approx(full / 2, rel=1e-3)


def test_vacancies_and_the_undoped_parent_change_nothing() -> None:
    assert scale_of({"prototype": "Na3Zr2Si2PO12_R-3c"}) == 1.0
    assert scale_of({"prototype": "Li6PS5Cl_F-43m"}) == 1.0


def test_the_setting_is_obeyed_and_recorded() -> None:
    recipe = {"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"Br": 0.5}}, "supercell": {"matrix": [2, 2, 2]}}
    made = {}
    for way in ("bonds", "none"):
        s = GenerateSettings.model_validate({"recipes": [recipe], "cell_scaling": way})
        made[way] = configure(expand(s)[0], s, seed=0)[1][0]
    scale = made["bonds"].provenance["cell_scale"]
    assert scale == pytest.approx(1.0135, abs=1e-3)
    assert made["none"].provenance["cell_scale"] == 1.0
    assert made["none"].structure.lattice_A[0][0] == pytest.approx(8.992)
    assert made["bonds"].structure.lattice_A[0][0] == pytest.approx(8.992 * scale)
    assert made["bonds"].ewald_energy_eV == pytest.approx(made["none"].ewald_energy_eV / scale, abs=1e-5)
    ratio = np.array(made["bonds"].mobile_sites_A) / np.maximum(np.array(made["none"].mobile_sites_A), 1e-9)
    assert np.median(ratio[ratio > 0.1]) == pytest.approx(scale)
