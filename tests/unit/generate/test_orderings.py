"""Swap Monte Carlo, enumeration, symmetry merging, and the structures that come out."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from ionsieve import rng
from ionsieve.generate import GenerateSettings, configure, expand, prototypes
from ionsieve.generate.annealing import _chains, anneal, quench, random_states
from ionsieve.generate.enumeration import enumerate_states
from ionsieve.generate.ordering import order
from ionsieve.generate.problem import OrderingProblem, build_problem
from ionsieve.generate.settings import OrderingSettings
from ionsieve.generate.sites import site_table
from ionsieve.records import Candidate, Configuration
from ionsieve.verdicts import Outcome


def settings_of(recipe: object, **more: object) -> GenerateSettings:
    return GenerateSettings.model_validate({"recipes": [recipe], **more})


def problem_of(recipe: object, **more: object) -> tuple[Candidate, OrderingProblem]:
    (c,) = expand(settings_of(recipe, **more))
    table = site_table(prototypes.load(c.prototype), np.array(c.provenance["plan"]["matrix_of_primitive"]))
    return c, build_problem(c, table)


def made(recipe: object, seed: int = 1, **more: object) -> tuple[Candidate, tuple[Configuration, ...]]:
    s = settings_of(recipe, **more)
    (c,) = expand(s)
    return configure(c, s, seed=seed)


NASICON = {"prototype": "Na3Zr2Si2PO12_R-3c", "supercell": {"matrix": [1, 1, 1], "of": "primitive"}}
CHLORIDE = {"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.125}}}


@pytest.mark.parametrize("recipe", [NASICON, CHLORIDE, {"prototype": "Li10GeP2S12_P42nmc"}])
def test_chains_keep_counts_and_their_own_potentials(recipe: object) -> None:
    _, problem = problem_of(recipe)
    stream = rng.generator("test", "chains")
    start = random_states(problem, 6, stream)
    final, snapshots = anneal(problem, start, stream, temperatures_eV=np.geomspace(1.0, 0.05, 800), snapshots=2)
    for state in (*start, *final, *snapshots):
        for k, row in enumerate(problem.counts):
            held = np.bincount(state[problem.sublattice == k], minlength=len(problem.species))
            assert (held == row).all()
        assert problem.allowed[state, np.arange(problem.n_active)].all()
    assert len(snapshots) == 12
    assert problem.energy_eV(final).mean() < problem.energy_eV(start).mean()
    low = quench(problem, final)
    total = problem.energy_eV(low) + 1e9 * problem.clashes(low)
    before = problem.energy_eV(final) + 1e9 * problem.clashes(final)
    assert (total <= before + 1e-6).all()


def test_incremental_potentials_equal_fresh_ones() -> None:
    """The potentials that ten thousand swaps have updated are those computed anew."""
    _, problem = problem_of({"prototype": "Li10GeP2S12_P42nmc"})
    captured: list = []

    class Spy(np.ndarray):
        pass

    stream = rng.generator("test", "potentials")
    states = random_states(problem, 3, stream)
    chains = _chains(problem, states)
    q = problem.charge[chains.states()]
    assert np.allclose(chains.phi, q @ problem.matrix + problem.field, atol=1e-9)
    # every swap's predicted cost is the difference of total energies
    final = states
    for _ in range(20):
        moved, _ = anneal(problem, final, stream, temperatures_eV=np.full(1, 1e6))
        captured.append(problem.energy_eV(moved) - problem.energy_eV(final))
        final = moved
    assert np.abs(np.array(captured)).max() > 0
    cold = final
    for _ in range(400):
        moved, _ = anneal(problem, cold, stream, temperatures_eV=np.full(1, 1e-9))
        rise = problem.energy_eV(moved) + 0.5 * clash_cost(problem, moved)
        fall = problem.energy_eV(cold) + 0.5 * clash_cost(problem, cold)
        assert (rise <= fall + 1e-8).all()  # at zero temperature nothing rises: the costs are right
        cold = moved


def clash_cost(problem: OrderingProblem, states: np.ndarray) -> np.ndarray:
    o = problem.occupied[states]
    return np.asarray(np.einsum("ri,ri->r", o @ problem.clash, o))


def test_the_boltzmann_distribution_is_sampled() -> None:
    """A problem of few states: long chains visit each as often as its Boltzmann factor says."""
    _, problem = problem_of(
        {"prototype": "Na3OCl_Pm-3m", "substitute": {"O": {"F": 0.25}}, "supercell": {"matrix": [2, 2, 1]}}
    )
    every = enumerate_states(problem)
    kT = 0.8
    energy = problem.energy_eV(every)
    weight = np.exp(-(energy - energy.min()) / kT)
    expected = float((energy * weight).sum() / weight.sum())
    spread = float(np.sqrt((energy**2 * weight).sum() / weight.sum() - expected**2))
    stream = rng.generator("test", "boltzmann")
    start = random_states(problem, 2000, stream)
    final, _ = anneal(problem, start, stream, temperatures_eV=np.full(600, kT))
    assert problem.energy_eV(final).mean() == pytest.approx(expected, abs=4 * spread / np.sqrt(2000))
    # the factor on the electrostatics is a temperature
    hot, _ = anneal(problem, start, stream, temperatures_eV=np.full(600, kT / 10), electrostatics=0.1)
    assert problem.energy_eV(hot).mean() == pytest.approx(expected, abs=4 * spread / np.sqrt(2000))


@pytest.mark.parametrize(
    "recipe",
    [
        NASICON,
        CHLORIDE,
        {"prototype": "Na3OCl_Pm-3m", "substitute": {"Na": {"Sr": 0.125}}, "supercell": {"matrix": [2, 2, 2]}},
    ],
)
def test_annealing_finds_what_enumeration_finds(recipe: object) -> None:
    _, problem = problem_of(recipe)
    states = enumerate_states(problem)
    assert len(states) == round(np.exp(problem.log_arrangements()))
    assert len(np.unique(states, axis=0)) == len(states)
    stream = functools.partial(rng.generator, "test")
    exact = order(problem, OrderingSettings(n_configurations=4), stream)
    annealed = order(problem, OrderingSettings(n_configurations=4, enumerate_below=0), stream)
    assert exact[0].how.startswith("best of all")
    assert annealed[0].how.startswith("annealed")
    assert annealed[0].energy_eV == pytest.approx(exact[0].energy_eV, abs=1e-6)
    assert annealed[0].energy_eV == pytest.approx(float(problem.energy_eV(states).min()), abs=1e-5)
    assert (exact[0].state == annealed[0].state).all()


def test_equivalent_states_have_one_canonical_form() -> None:
    _, problem = problem_of(CHLORIDE)
    stream = rng.generator("test", "canonical")
    for state in random_states(problem, 20, stream):
        key, form = problem.canonical(state)
        assert problem.energy_eV(form[None])[0] == pytest.approx(problem.energy_eV(state[None])[0], abs=1e-6)
        for permutation in problem.permutations[:: max(1, len(problem.permutations) // 5)]:
            assert problem.canonical(state[permutation])[0] == key
            assert problem.canonical(form[permutation])[0] == key


def test_degeneracies_of_an_enumeration_add_up() -> None:
    """Orbits of all arrangements under the supercell's symmetry partition them."""
    _, problem = problem_of(CHLORIDE)
    states = enumerate_states(problem)
    found = order(problem, OrderingSettings(n_configurations=200), functools.partial(rng.generator, "t"))
    assert sum(o.degeneracy for o in found) == len(states)
    assert len({o.state.tobytes() for o in found}) == len(found)
    assert all(len(problem.permutations) % o.degeneracy == 0 for o in found)


@pytest.mark.parametrize("method", ["ewald", "thermal", "random"])
@pytest.mark.parametrize("recipe", [NASICON, CHLORIDE])
def test_configurations_are_inequivalent(recipe: dict, method: str) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    small = {**recipe, "supercell": {"matrix": [1, 1, 1], "of": "primitive"}} if recipe is NASICON else recipe
    c, found = made(small, ordering={"method": method, "n_configurations": 3})
    assert c.outcome is Outcome.COMPLETED
    assert len(found) == 3
    matcher = StructureMatcher(
        primitive_cell=False, scale=False, attempt_supercell=False, ltol=1e-3, stol=1e-3, angle_tol=0.1
    )
    cells = [k.structure.to_pymatgen() for k in found]
    for i in range(3):
        for j in range(i):
            energies = found[i].ewald_energy_eV, found[j].ewald_energy_eV
            if energies[0] == pytest.approx(energies[1], abs=1e-4):
                assert not matcher.fit(cells[i], cells[j])


def test_thermal_lies_between_lowest_and_random() -> None:
    mean = {}
    recipe = {"prototype": "Na3Zr2Si2PO12_R-3c", "supercell": {"matrix": [1, 1, 1]}}
    for method in ("ewald", "thermal", "random"):
        _, found = made(recipe, ordering={"method": method, "n_configurations": 6, "chains": 16})
        mean[method] = np.mean([k.ewald_energy_eV for k in found])
    assert mean["ewald"] < mean["thermal"] < mean["random"]


def test_quasi_random_orderings() -> None:
    pytest.importorskip("icet")
    recipe = {"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"Br": 0.5}}, "supercell": {"matrix": [2, 2, 2]}}
    _, found = made(recipe, ordering={"method": "sqs", "n_configurations": 1, "sqs_steps": 2000})
    symbols = np.array(found[0].structure.symbols)
    assert (symbols == "Br").sum() == 4
    # nearest-neighbour correlation of a random half-half alloy is zero: as many unlike as like pairs
    cage = np.flatnonzero((symbols == "Br") | (symbols == "Cl"))
    points = np.array(found[0].structure.positions_A)[cage]
    cell = np.array(found[0].structure.lattice_A)
    spin = np.where(symbols[cage] == "Br", 1, -1)
    delta = (points[:, None] - points[None]) @ np.linalg.inv(cell)
    delta -= np.round(delta)
    near = np.abs(np.linalg.norm(delta @ cell, axis=2) - 4.496) < 0.1
    assert abs((spin[:, None] * spin[None] * near).sum() / near.sum()) <= 0.34


@pytest.mark.parametrize("recipe", [NASICON, CHLORIDE, "Na3OBH4"])
def test_the_same_input_gives_the_same_bytes(recipe: object) -> None:
    first, second = made(recipe), made(recipe)
    assert [k.to_json() for k in first[1]] == [k.to_json() for k in second[1]]
    other = made(recipe, seed=2)
    assert first[0].candidate_id == other[0].candidate_id


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "from ionsieve.generate import GenerateSettings, expand, configure\n"
        "import hashlib\n"
        "s = GenerateSettings(recipes=[{'prototype': 'Na3YCl6_P21n'}, {'prototype': 'Na3OBH4_Pm-3m'},\n"
        "    {'prototype': 'Na3Zr2Si2PO12_R-3c', 'substitute': {'Zr': {'Sc': 0.25}}}],\n"
        "    ordering={'chains': 16, 'sweeps': 30, 'restarts': 1})\n"
        "text = ''.join(x.to_json() for c in expand(s) for x in configure(c, s, seed=3)[1])\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 1)
    }
    assert len(digests) == 1


def test_a_candidate_does_not_depend_on_its_neighbours() -> None:
    alone = made(CHLORIDE)[1]
    s = GenerateSettings.model_validate({"recipes": ["Na3OBH4", NASICON, CHLORIDE]})
    together = next(configure(c, s, seed=1)[1] for c in expand(s) if "Cl_S" in c.candidate_id)
    assert [k.structure for k in alone] == [k.structure for k in together]


def shortest(configuration: Configuration, symbol: str) -> float:
    atoms = configuration.structure.to_ase()
    index = [i for i, s in enumerate(configuration.structure.symbols) if s == symbol]
    distance = atoms.get_all_distances(mic=True)[np.ix_(index, index)] + 9 * np.eye(len(index))
    return float(distance.min())


@pytest.mark.parametrize(
    ("recipe", "ion", "limit"),
    [
        ("Li7La3Zr2O12", "Li", 1.95),
        ("Li6PS5Cl", "Li", 1.95),
        ({"prototype": "Na3PS4_I-43m_split"}, "Na", 2.4),
        ({"prototype": "Na3PS4_I-43m_6b12d"}, "Na", 2.4),
        ("Na2Zn2TeO6", "Na", 2.4),
        ("Li1.3Al0.3Ti1.7(PO4)3", "Li", 1.95),
        ("Li3YCl6", "Y", 3.6),
    ],
)
@pytest.mark.parametrize("method", ["ewald", "random"])
def test_exclusive_sites_are_never_both_filled(recipe: object, ion: str, limit: float, method: str) -> None:
    c, found = made(recipe, ordering={"method": method, "n_configurations": 2, "chains": 16, "sweeps": 60})
    assert c.outcome is Outcome.COMPLETED
    for k in found:
        assert k.provenance["clashes"] == 0
        assert shortest(k, ion) > limit - 1e-6


def test_crowded_interstitials_push_their_neighbours_aside() -> None:
    """One extra Na in cubic Na3PS4 sits between two regular ones, 1.74 Å from each before they move."""
    c, found = made({"prototype": "Na3PS4_I-43m", "substitute": {"P": {"Si": 0.0625}}})
    assert c.realised_formula == "Na3.0625P0.9375Si0.0625S4"
    occupation = found[0].provenance["site_occupation"]
    assert occupation["Na1"] == {"Na": 48}
    assert occupation["Na2"]["Na"] == 1
    assert shortest(found[0], "Na") > 2.2


def test_mobile_sites_and_labels() -> None:
    c, found = made(CHLORIDE)
    k = found[0]
    p = prototypes.load(c.prototype)
    expected = sum(p.per_formula_unit(s) for s in p.sites if s.mobile) * c.formula_units
    assert len(k.mobile_sites_A) == len(k.mobile_site_labels) == round(expected)
    assert set(k.mobile_site_labels) == {"Na1", "Na2", "Na3"}
    atoms = {
        tuple(np.round(x, 5)) for x, s in zip(k.structure.positions_A, k.structure.symbols, strict=True) if s == "Na"
    }
    assert atoms <= {tuple(np.round(x, 5)) for x in k.mobile_sites_A}
    assert sum(k.structure.oxidation_states) == 0
    assert len(k.dopant_vacancy_distances_A) == 1


def test_the_dopant_binds_its_vacancy_in_the_lowest_ordering() -> None:
    _, found = made({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.0625}}})
    distances = [k.dopant_vacancy_distances_A[0] for k in found]
    assert distances[0] < 3.0  # Cl on S is positive, the vacancy negative: next to each other


def test_a_refused_candidate_comes_back_unchanged() -> None:
    s = settings_of({"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"S": 0.125}}})
    (c,) = expand(s)
    assert configure(c, s, seed=0) == (c, ())


@pytest.mark.parametrize(
    ("recipe", "energies"),
    [
        (NASICON, (-1714.2800, -1714.1993, -1713.1959)),
        ({"prototype": "Na3PS4_P-421c", "substitute": {"S": {"Cl": 0.0625}}}, (-3367.9493, -3367.7744, -3367.5283)),
        ({"prototype": "Na3Zr2Si2PO12_R-3c", "supercell": {"matrix": [1, 1, 1]}}, (-5149.2368,)),
    ],
)
def test_known_energies(recipe: dict, energies: tuple[float, ...]) -> None:
    """Numbers that may change only together with the PHYSICS of the stage: raise it when these move."""
    _, found = made(recipe, cell_scaling="none")
    assert [k.ewald_energy_eV for k in found][: len(energies)] == pytest.approx(list(energies), abs=1e-3)


def test_degeneracies_of_isovalent_dopants_are_those_of_the_group() -> None:
    """8008 arrangements of one energy, more than are compared: the degeneracy is the orbit's order all the same."""
    _, problem = problem_of(
        {"prototype": "Na3OCl_Pm-3m", "substitute": {"Cl": {"Br": 0.375}}, "supercell": {"matrix": [4, 2, 2]}}
    )
    states = enumerate_states(problem)
    assert len(states) == 8008
    best = order(problem, OrderingSettings(n_configurations=3), functools.partial(rng.generator, 1))
    orbits = [len(np.unique(o.state[problem.permutations], axis=0)) for o in best]
    assert [o.degeneracy for o in best] == orbits
    rest = {s.tobytes() for s in states}
    largest = 0
    while rest:
        images = np.unique(np.frombuffer(next(iter(rest)), dtype=np.int64)[problem.permutations], axis=0)
        largest = max(largest, len(images))
        rest -= {s.tobytes() for s in images}
    assert orbits[0] == largest  # the most random of all
