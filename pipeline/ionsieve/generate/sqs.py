"""Special quasi-random orderings, through the optional package icet.

The framework's mixed sites are made quasi-random: their pair correlations match those of an infinite random alloy. The
mobile ions, which are free to move, are then annealed in the field of that frozen disorder. Without mixed framework
sites, the mobile sites themselves are made quasi-random.

References
----------
A. Zunger et al., Phys. Rev. Lett. 65 (1990) 353; M. Ångqvist et al., Adv. Theory Simul. 2 (2019) 1900015 (icet).
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import SetupError
from ionsieve.generate.annealing import anneal, quench, random_states
from ionsieve.generate.problem import OrderingProblem
from ionsieve.generate.settings import OrderingSettings

__all__ = ["quasi_random"]

Ints = NDArray[np.int64]


def quasi_random(
    problem: OrderingProblem, settings: OrderingSettings, generator: np.random.Generator
) -> tuple[Ints, str]:
    """Return quasi-random occupations (k, n) and how they were made.

    Raises
    ------
    SetupError
        When icet is not installed.
    """
    mobile = problem.table.mobile[problem.active]
    framework = [k for k in range(len(problem.counts)) if not mobile[problem.sublattice == k].any()]
    framework = [k for k in framework if _unrestricted(problem, k)]
    chosen = framework or [k for k in range(len(problem.counts)) if _unrestricted(problem, k)]
    states = random_states(problem, settings.n_configurations, generator)
    if not chosen:
        return states, "drawn at random: every mixed site restricts its species"
    for row in states:
        seed = int(generator.integers(0, 2**31 - 1))
        _fill_quasi_random(problem, row, chosen, settings, seed)
    others = tuple(k for k in range(len(problem.counts)) if k not in chosen)
    names = "/".join(
        sorted({problem.table.labels[int(i)] for i in problem.active[np.isin(problem.sublattice, chosen)]})
    )
    how = f"quasi-random on {names} (icet, pairs to {settings.sqs_cutoff_A:g} Å)"
    if others:
        ladder = np.geomspace(settings.start_eV, settings.end_eV, max(settings.sweeps * problem.n_active, 6000))
        states, _ = anneal(problem, states, generator, temperatures_eV=ladder, sublattices=others)
        states = quench(problem, states, sublattices=others)
        how += ", the rest annealed"
    return states, how


def _unrestricted(problem: OrderingProblem, k: int) -> bool:
    sites = problem.sublattice == k
    held = problem.counts[k] > 0
    clashing = (problem.clash[np.ix_(sites, sites)] > 0).any()
    return bool(problem.allowed[np.ix_(held, sites)].all()) and not clashing


def _fill_quasi_random(
    problem: OrderingProblem, row: Ints, chosen: list[int], settings: OrderingSettings, seed: int
) -> None:
    """Overwrite the chosen sublattices of one state."""
    try:
        from icet import ClusterSpace
        from icet.tools.structure_generation import generate_sqs_from_supercells
    except ImportError as error:
        raise SetupError(
            "the ordering method `sqs` needs the package icet",
            key="generate.ordering.method",
            remedy="pip install 'ionsieve[sqs]', or choose ewald, thermal or random",
        ) from error
    from ase import Atoms
    from ase.data import chemical_symbols

    for name in ("icet", "mchammer"):
        logging.getLogger(name).setLevel(logging.ERROR)
    table = problem.table
    stand_in: dict[tuple[int, int], str] = {}
    for k in chosen:
        for m in np.flatnonzero(problem.counts[k]):
            stand_in[k, int(m)] = chemical_symbols[len(stand_in) + 1]
    inside = np.flatnonzero(np.isin(problem.sublattice, chosen))
    sites = problem.active[inside]
    sub = problem.sublattice[inside]
    primitive = np.linalg.inv(table.matrix) @ table.cell
    scaled = np.mod(table.positions[sites] @ np.linalg.inv(primitive) + 1e-6, 1.0) - 1e-6
    first = _one_of_each(scaled)
    options = {k: [stand_in[k, int(m)] for m in np.flatnonzero(problem.counts[k])] for k in chosen}
    base = Atoms([options[int(sub[i])][0] for i in first], scaled_positions=scaled[first], cell=primitive, pbc=True)
    space = ClusterSpace(base, [settings.sqs_cutoff_A], [options[int(sub[i])] for i in first], symprec=1e-3)
    cell = Atoms([options[int(k)][0] for k in sub], scaled_positions=table.fractional[sites], cell=table.cell, pbc=True)
    wanted = {}
    for sublattice in space.get_sublattices(base):
        symbols = sublattice.chemical_symbols
        k = next(key[0] for key, symbol in stand_in.items() if symbol in symbols)
        total = int(problem.counts[k].sum())
        wanted[sublattice.symbol] = {
            stand_in[k, int(m)]: int(problem.counts[k, m]) / total for m in np.flatnonzero(problem.counts[k])
        }
    found = generate_sqs_from_supercells(space, [cell], wanted, n_steps=settings.sqs_steps, random_seed=seed)
    back = {symbol: m for (_, m), symbol in stand_in.items()}
    row[inside] = [back[s] for s in found.get_chemical_symbols()]


def _one_of_each(scaled: NDArray[np.float64]) -> list[int]:
    """Indices of one site of each class under the primitive translations."""
    kept: list[int] = []
    for i, point in enumerate(scaled):
        delta = scaled[kept] - point
        delta -= np.round(delta)
        if not kept or np.abs(delta).max(axis=1).min() > 2e-3:
            kept.append(i)
    return kept
