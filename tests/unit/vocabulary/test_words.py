"""Sentences, quantities, units and random streams."""

import numpy as np
import pytest

from ionsieve.errors import InputError
from ionsieve.quantities import QUANTITIES, quantity
from ionsieve.rng import generator, key128
from ionsieve.units import EV_PER_U_A2_PER_FS2, nernst_einstein_S_per_cm
from ionsieve.verdicts import Flag, Outcome, Severity, Verdict


@pytest.mark.parametrize("kind", [Outcome, Flag, Verdict])
def test_each_word_has_one_sentence(kind):
    sentences = [member.sentence for member in kind]
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0


def test_severity_is_known_for_all_flags():
    assert {flag.severity for flag in Flag} == set(Severity)


def test_quantities_are_consistent():
    for key, q in QUANTITIES.items():
        assert q.key == key
        assert q.meaning.endswith(".")
        assert q.symbol in q.label
    with pytest.raises(InputError, match="did you mean 'conductivity'"):
        quantity("conductivty")


def test_nernst_einstein_reproduces_the_published_factor():
    # LGPS cell of pymatgen-analysis-diffusion: sigma = 6.386447e7 D mS/cm for 20 Li in 970.414 Å³ at 600 K
    sigma = nernst_einstein_S_per_cm(1.0, count=20, charge=1, volume_A3=970.414, temperature_K=600)
    assert sigma * 1e3 == pytest.approx(6.386447e7, rel=1e-6)
    assert nernst_einstein_S_per_cm(1.0, count=20, charge=2, volume_A3=970.414, temperature_K=600) == pytest.approx(
        4 * sigma
    )


def test_velocity_unit_against_ase():
    from ase import units

    assert pytest.approx((units.fs**-1) ** 2, rel=1e-6) == EV_PER_U_A2_PER_FS2


def test_streams_are_reproducible_and_apart():
    a = generator(7, "run-a", "csvr", step=12).normal(size=8)
    assert np.array_equal(a, generator(7, "run-a", "csvr", step=12).normal(size=8))
    for other in (
        generator(7, "run-a", "csvr", step=13),
        generator(8, "run-a", "csvr", step=12),
        generator(7, "run-b"),
    ):
        assert not np.any(a == other.normal(size=8))
    assert key128("a", "bc") != key128("ab", "c")
    assert key128("1") != key128(1)
