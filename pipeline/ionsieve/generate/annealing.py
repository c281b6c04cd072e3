"""Swap Monte Carlo on the Ewald matrix: many chains at once, annealed, then quenched to the bottom.

A state is kept as slots: each slot owns a species and holds a site, so that every proposal exchanges two different
species of one sublattice, keeps all counts and the charge, and costs O(n) for n active sites. Chains advance together
as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionsieve.errors import BugError
from ionsieve.generate.problem import OrderingProblem

__all__ = ["Chains", "anneal", "quench", "random_states"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_BLOCK = 512


def random_states(problem: OrderingProblem, count: int, generator: np.random.Generator) -> Ints:
    """(count, n) random occupations with the right counts; restricted species are placed first."""
    states = np.full((count, problem.n_active), -1, dtype=np.int64)
    for k, row in enumerate(problem.counts):
        sites = np.flatnonzero(problem.sublattice == k)
        order = sorted(map(int, np.flatnonzero(row)), key=lambda m: (int(problem.allowed[m, sites].sum()), m))
        for r in range(count):
            states[r, sites] = _fill(problem, sites, row, order, generator)
    return states


def _fill(problem: OrderingProblem, sites: Ints, row: Ints, order: list[int], generator: np.random.Generator) -> Ints:
    """One sublattice: place the species in turn on random allowed sites that the later ones can spare."""
    for _ in range(200):
        out = np.full(len(sites), -1, dtype=np.int64)
        for m in order:
            free = np.flatnonzero((out < 0) & problem.allowed[m, sites])
            if len(free) < row[m]:
                break
            out[generator.permutation(free)[: row[m]]] = m
        if (out >= 0).all():
            return out
    raise BugError("the counts do not fit on the allowed sites", found=str(row.tolist()))


@dataclass
class Chains:
    """R chains: slot -> site (R, n), with the potentials of every site.

    Attributes
    ----------
    slots
        (R, n) active-site index held by each slot.
    slot_species
        (n,) species of each slot.
    phi, psi
        (R, n) electrostatic potential, eV per charge, and clash cost, eV per ion, at every active site.
    """

    slots: Ints
    slot_species: Ints
    phi: Floats
    psi: Floats

    def states(self) -> Ints:
        """(R, n) species of each active site."""
        out = np.empty_like(self.slots)
        np.put_along_axis(out, self.slots, np.broadcast_to(self.slot_species, self.slots.shape), axis=1)
        return out


def _chains(problem: OrderingProblem, states: Ints) -> Chains:
    keys = problem.sublattice * len(problem.species) + states
    slots = np.argsort(keys, axis=1, kind="stable")
    species = np.take_along_axis(states, slots, axis=1)
    if len(species) and not (species == species[0]).all():
        raise BugError("chains of one candidate must hold the same counts")
    q, o = problem.charge[states], problem.occupied[states]
    return Chains(slots, species[0], q @ problem.matrix + problem.field, o @ problem.clash)


def _pairs(problem: OrderingProblem, chains: Chains, sublattices: tuple[int, ...] | None) -> Ints:
    """(P, 2) slots of one of the sublattices with different species."""
    first = chains.slots[0]
    sub = problem.sublattice[first]
    i, j = np.triu_indices(len(first), 1)
    keep = (sub[i] == sub[j]) & (chains.slot_species[i] != chains.slot_species[j])
    if sublattices is not None:
        keep &= np.isin(sub[i], sublattices)
    return np.stack([i[keep], j[keep]], axis=1)


def anneal(
    problem: OrderingProblem,
    states: Ints,
    generator: np.random.Generator,
    *,
    temperatures_eV: Floats,
    electrostatics: float = 1.0,
    snapshots: int = 0,
    sublattices: tuple[int, ...] | None = None,
) -> tuple[Ints, Ints]:
    """Run all chains through a ladder of temperatures.

    Parameters
    ----------
    states
        (R, n) starting occupations.
    temperatures_eV
        kT of each step, (steps,).
    electrostatics
        Factor on the electrostatic energy: 1 / permittivity, or 0 for clashes alone.
    snapshots
        How many times in the last third the states are kept.
    sublattices
        Only these change; all by default.

    Returns
    -------
    tuple
        Final states (R, n) and the snapshots (snapshots * R, n).
    """
    chains = _chains(problem, states)
    pairs = _pairs(problem, chains, sublattices)
    kept: list[Ints] = []
    if len(pairs) == 0:
        return states, states[:0]
    steps, count = len(temperatures_eV), len(states)
    first, second = np.ascontiguousarray(pairs.T)
    matrix, clash = problem.matrix * electrostatics, problem.clash
    chains.phi *= electrostatics
    n, species = problem.n_active, chains.slot_species
    half_diagonal = 0.5 * np.diag(matrix)
    delta_q = problem.charge[species[second]] - problem.charge[species[first]]
    delta_o = problem.occupied[species[second]] - problem.occupied[species[first]]
    restricted = not problem.allowed.all()
    clashing = bool((clash > 0).any())
    slots, phi, psi = chains.slots, chains.phi, chains.psi
    # the chains one after another, so that one index picks from each: `start` is where each chain begins
    flat_slots, flat_phi, flat_psi, flat_matrix, flat_clash = (x.reshape(-1) for x in (slots, phi, psi, matrix, clash))
    start = np.arange(count) * n
    marks = set(np.linspace(2 * steps // 3, steps - 1, snapshots).astype(int).tolist()) if snapshots else set()
    for done in range(0, steps, _BLOCK):
        block = min(_BLOCK, steps - done)
        draws = generator.integers(0, len(pairs), size=(block, count))
        thresholds = -np.log1p(-generator.random((block, count))) * temperatures_eV[done : done + block, None]
        at_k, at_m, charge_steps = first[draws], second[draws], delta_q[draws]
        occupation_steps = delta_o[draws] if clashing else charge_steps
        for b in range(block):
            k, m, dq = at_k[b], at_m[b], charge_steps[b]
            i, j = flat_slots.take(start + k), flat_slots.take(start + m)
            cost = flat_phi.take(start + i)
            cost -= flat_phi.take(start + j)
            cost *= dq
            cost += dq * dq * (half_diagonal.take(i) + half_diagonal.take(j) - flat_matrix.take(i * n + j))
            if clashing:
                do = occupation_steps[b]
                cost += do * (flat_psi.take(start + i) - flat_psi.take(start + j)) - do * do * flat_clash.take(
                    i * n + j
                )
            accept = cost <= thresholds[b]
            if restricted:
                accept &= problem.allowed[species[k], j] & problem.allowed[species[m], i]
            hit = accept.nonzero()[0]
            if len(hit):
                ih, jh = i[hit], j[hit]
                flat_slots[start[hit] + k[hit]], flat_slots[start[hit] + m[hit]] = jh, ih
                change = matrix.take(ih, axis=0)
                change -= matrix.take(jh, axis=0)
                change *= dq[hit, None]
                phi[hit] += change
                if clashing:
                    psi[hit] += do[hit, None] * (clash[ih] - clash[jh])
            if done + b in marks:
                kept.append(chains.states())
    return chains.states(), np.concatenate(kept) if kept else states[:0]


def quench(
    problem: OrderingProblem, states: Ints, *, sweeps: int = 500, sublattices: tuple[int, ...] | None = None
) -> Ints:
    """Take the best swap of each chain until none lowers the energy: (R, n) local minima."""
    chains = _chains(problem, states)
    pairs = _pairs(problem, chains, sublattices)
    if len(pairs) == 0:
        return states
    matrix, clash = problem.matrix, problem.clash
    diagonal = np.diag(matrix)
    species = chains.slot_species
    delta_q = problem.charge[species[pairs[:, 1]]] - problem.charge[species[pairs[:, 0]]]
    delta_o = problem.occupied[species[pairs[:, 1]]] - problem.occupied[species[pairs[:, 0]]]
    for r in range(len(states)):
        slots, phi, psi = chains.slots[r], chains.phi[r], chains.psi[r]
        for _ in range(sweeps):
            i, j = slots[pairs[:, 0]], slots[pairs[:, 1]]
            cost = delta_q * (phi[i] - phi[j]) + delta_q**2 * (0.5 * (diagonal[i] + diagonal[j]) - matrix[i, j])
            cost += delta_o * (psi[i] - psi[j]) - delta_o**2 * clash[i, j]
            cost[~(problem.allowed[species[pairs[:, 0]], j] & problem.allowed[species[pairs[:, 1]], i])] = np.inf
            best = int(np.argmin(np.round(cost, 9)))
            if cost[best] > -1e-7:
                break
            a, b = int(i[best]), int(j[best])
            slots[pairs[best, 0]], slots[pairs[best, 1]] = b, a
            phi += delta_q[best] * (matrix[a] - matrix[b])
            psi += delta_o[best] * (clash[a] - clash[b])
    return chains.states()
