"""Orderings of a candidate: enumerated, annealed, thermally sampled, random or quasi-random; merged by symmetry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionsieve.generate.annealing import anneal, quench, random_states
from ionsieve.generate.enumeration import enumerate_states
from ionsieve.generate.problem import OrderingProblem
from ionsieve.generate.settings import OrderingSettings
from ionsieve.units import BOLTZMANN_EV_PER_K

__all__ = ["Ordered", "order"]

Ints = NDArray[np.int64]
Stream = Callable[..., np.random.Generator]


@dataclass(frozen=True)
class Ordered:
    """One distinct ordering.

    Attributes
    ----------
    state
        Species index of each active site.
    degeneracy
        When all arrangements were enumerated, how many are equivalent to it by symmetry; else how often it was met.
    """

    state: Ints
    energy_eV: float
    clashes: int
    degeneracy: int
    how: str


def order(problem: OrderingProblem, settings: OrderingSettings, stream: Stream) -> list[Ordered]:
    """Return at most `settings.n_configurations` orderings, no two equivalent by symmetry.

    Parameters
    ----------
    stream
        Gives a fresh random generator for a name.

    Returns
    -------
    list
        For `ewald` by rising energy; for the others in the order in which they were drawn. Orderings with ions on
        exclusive sites are given only when nothing better was found.
    """
    if problem.n_active == 0:
        state = np.zeros((1, 0), dtype=np.int64)
        return [Ordered(state[0], float(problem.energy_eV(state)[0]), 0, 1, "the only ordering")]
    if settings.method == "sqs":
        from ionsieve.generate.sqs import quasi_random

        states, how = quasi_random(problem, settings, stream("sqs"))
        return _distinct(problem, states, settings.n_configurations, how, ranked=False)
    if settings.method == "ewald":
        return _lowest(problem, settings, stream)
    return _sampled(problem, settings, stream)


#: Fewest swap attempts a chain: small problems are cheap and their landscapes as rough.
MIN_STEPS = 6000
#: Most orderings of equal energy that are compared by symmetry.
MAX_COMPARED = 4000


def _steps(problem: OrderingProblem, settings: OrderingSettings) -> int:
    return max(settings.sweeps * problem.n_active, min(MIN_STEPS, 200 * settings.sweeps))


def _lowest(problem: OrderingProblem, settings: OrderingSettings, stream: Stream) -> list[Ordered]:
    if problem.log_arrangements() <= math.log(max(settings.enumerate_below, 1)):
        states = enumerate_states(problem)
        found = _distinct(
            problem,
            states,
            settings.n_configurations,
            f"best of all {len(states)} arrangements",
            ranked=True,
            complete=True,
        )
        if found:
            return found
    pool: list[Ints] = []
    ends: list[Ints] = []
    best: list[Ordered] = []
    steps = _steps(problem, settings)
    ladder = np.geomspace(settings.start_eV, settings.end_eV, steps)
    for attempt in range(settings.restarts):
        generator = stream("anneal", attempt)
        start = random_states(problem, settings.chains, generator)
        final, snapshots = anneal(problem, start, generator, temperatures_eV=ladder, snapshots=8)
        ends.append(quench(problem, final))
        pool += [ends[-1], snapshots]
        energies = np.round(problem.energy_eV(np.concatenate(ends)), 6)
        met = int((energies == energies.min()).sum())
        how = f"annealed, {settings.chains * (attempt + 1)} chains of {steps} swaps, lowest met {met} times"
        best = _distinct(problem, np.concatenate(pool), settings.n_configurations, how, ranked=True)
        if len(best) < settings.n_configurations:
            pool.append(_neighbours(problem, best[0].state))
            best = _distinct(problem, np.concatenate(pool), settings.n_configurations, how, ranked=True)
        if met >= 2 and len(best) >= settings.n_configurations:
            break
    return best


def _sampled(problem: OrderingProblem, settings: OrderingSettings, stream: Stream) -> list[Ordered]:
    """Independent chains, equilibrated at the temperature (or without electrostatics), one state each."""
    wanted = settings.n_configurations
    states = np.zeros((0, problem.n_active), dtype=np.int64)
    found: list[Ordered] = []
    kT = settings.temperature_K * BOLTZMANN_EV_PER_K
    factor = 1.0 / settings.relative_permittivity if settings.method == "thermal" else 0.0
    steps = _steps(problem, settings)
    cooling = np.geomspace(max(settings.start_eV * max(factor, 0.05), kT), kT, steps // 2 or 1)
    ladder = np.concatenate([cooling, np.full(steps - len(cooling), kT)]) if steps > len(cooling) else cooling
    for attempt in range(8):
        generator = stream(settings.method, attempt)
        start = random_states(problem, max(wanted, min(settings.chains, 16)), generator)
        if settings.method == "thermal" or (problem.clash > 0).any():
            start, _ = anneal(problem, start, generator, temperatures_eV=ladder, electrostatics=factor)
        states = np.concatenate([states, start])
        how = f"sampled at {settings.temperature_K:g} K" if settings.method == "thermal" else "drawn at random"
        found = _distinct(problem, states, wanted, how, ranked=False)
        if len(found) >= wanted:
            break
    return found


def _neighbours(problem: OrderingProblem, state: Ints) -> Ints:
    """States one swap away, at most `MAX_COMPARED`."""
    i, j = np.triu_indices(problem.n_active, 1)
    keep = (state[i] != state[j]) & (problem.sublattice[i] == problem.sublattice[j])
    keep &= problem.allowed[state[i], j] & problem.allowed[state[j], i]
    i, j = i[keep][:MAX_COMPARED], j[keep][:MAX_COMPARED]
    out = np.repeat(state[None], len(i), axis=0)
    rows = np.arange(len(i))
    out[rows, i], out[rows, j] = state[j], state[i]
    return out


def _thinned(rank: Ints, clashes: Ints, energy: NDArray[np.float64]) -> Ints:
    """Of each group of equal clashes and energy at most `MAX_COMPARED`, drawn evenly over the enumeration."""
    level = np.stack([clashes[rank].astype(float), energy[rank]], axis=1)
    edges = np.flatnonzero(np.any(level[1:] != level[:-1], axis=1)) + 1
    picked = [
        group if len(group) <= MAX_COMPARED else group[np.linspace(0, len(group) - 1, MAX_COMPARED).astype(np.int64)]
        for group in np.split(rank, edges)
    ]
    return np.concatenate(picked)


def _orbit(problem: OrderingProblem, state: Ints) -> int:
    """How many states are equivalent to this one: the order of the group over that of its stabiliser."""
    fixed = (state[problem.permutations] == state).all(axis=1)
    return len(problem.permutations) // int(fixed.sum())


def _distinct(
    problem: OrderingProblem, states: Ints, wanted: int, how: str, *, ranked: bool, complete: bool = False
) -> list[Ordered]:
    """Merge equivalent states; those without clashes first, then by energy when ranked.

    `complete` says that `states` are all there are: degeneracies are then orders of orbits.
    """
    if len(states) == 0:
        return []
    unique, first, counts = np.unique(states, axis=0, return_index=True, return_counts=True)
    energy = np.round(problem.energy_eV(unique), 6)
    clashes = problem.clashes(unique)
    least = int(clashes.min())
    rank = np.lexsort((first, energy, clashes)) if ranked else np.lexsort((first, clashes))
    if complete:
        rank = _thinned(rank, clashes, energy)
    found: dict[bytes, Ordered] = {}
    for compared, k in enumerate(rank):
        if clashes[k] > least or compared >= MAX_COMPARED:
            break
        if ranked and len(found) >= wanted and energy[k] > max(o.energy_eV for o in found.values()) + 1e-6:
            break
        key, state = problem.canonical(unique[k])
        if key in found:
            if complete:
                continue
            old = found[key]
            found[key] = Ordered(old.state, old.energy_eV, old.clashes, old.degeneracy + int(counts[k]), old.how)
        elif len(found) < wanted or ranked:
            found[key] = Ordered(
                state, float(energy[k]), int(clashes[k]), _orbit(problem, state) if complete else int(counts[k]), how
            )
    items = list(found.values())
    if ranked:
        # orderings that electrostatics cannot tell apart (isovalent ions): the most numerous, hence most random, first
        items.sort(key=lambda o: (round(o.energy_eV, 5), -o.degeneracy, o.state.tobytes()))
    return items[:wanted]
