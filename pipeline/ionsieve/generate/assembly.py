"""From an ordering to a structure: atoms placed, cluster anions oriented, crowded mobile ions moved apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionsieve.generate.ewald import COULOMB_EV_A
from ionsieve.generate.groups import GROUPS, Group, random_rotation
from ionsieve.generate.ions import radius_A
from ionsieve.generate.ordering import Ordered
from ionsieve.generate.problem import OrderingProblem
from ionsieve.records.structure import CrystalStructure
from ionsieve.units import BOLTZMANN_EV_PER_K

__all__ = ["Assembled", "assemble"]

Floats = NDArray[np.float64]
#: Rotations tried for each cluster anion.
ORIENTATIONS = 64


@dataclass(frozen=True)
class Assembled:
    """A structure and what its atoms belong to.

    Attributes
    ----------
    group_of
        (N,) number of the cluster anion that an atom belongs to, -1 for none.
    occupation
        Species of every site of the table, ``""`` when empty.
    """

    structure: CrystalStructure
    group_of: tuple[int, ...]
    occupation: tuple[str, ...]
    moved_A: float


def assemble(
    problem: OrderingProblem,
    ordered: Ordered,
    charges: dict[str, int],
    generator: np.random.Generator,
    *,
    scale: float = 1.0,
    temperature_K: float,
    relative_permittivity: float,
) -> Assembled:
    """Build the structure of an ordering.

    Parameters
    ----------
    generator
        Draws the orientations of the cluster anions.
    scale
        Factor on the lengths of the prototype's cell.
    temperature_K, relative_permittivity
        Of the Boltzmann weights of the orientations.
    """
    table = problem.table
    occupation = [""] * len(table)
    for site, species in problem.fixed.items():
        occupation[site] = species
    for k, site in enumerate(problem.active):
        occupation[int(site)] = problem.species[int(ordered.state[k])]
    filled = [i for i, s in enumerate(occupation) if s]
    cell = table.cell * scale
    points = table.positions[filled] * scale
    net = np.array([float(charges[occupation[i]]) for i in filled])
    mobile = np.array([bool(table.mobile[i]) for i in filled])
    points, moved = _spread(points, cell, mobile, problem, filled)
    symbols: list[str] = []
    states: list[float] = []
    labels: list[str] = []
    group_of: list[int] = []
    positions: list[Floats] = []
    placed: dict[int, Floats] = {}  # filled index -> ligand positions
    oriented = [k for k, i in enumerate(filled) if occupation[i] in GROUPS]
    for k in generator.permutation(len(oriented)):
        index = oriented[int(k)]
        group = GROUPS[occupation[filled[index]]]
        placed[index] = _orient(
            index, group, points, net, placed, [occupation[i] for i in filled], cell, generator,
            BOLTZMANN_EV_PER_K * temperature_K * relative_permittivity,
        )  # fmt: skip
    for k, site in enumerate(filled):
        species = occupation[site]
        if species in GROUPS:
            group = GROUPS[species]
            atoms = np.vstack([points[k], placed[k]])
            symbols.extend(group.symbols)
            states.extend(float(q) for q in group.charges)
            labels.extend([table.labels[site]] * len(group.symbols))
            group_of.extend([k] * len(group.symbols))
            positions.extend(atoms)
        else:
            symbols.append(species)
            states.append(float(charges[species]))
            labels.append(table.labels[site])
            group_of.append(-1)
            positions.append(points[k])
    rounded = np.round(np.array(positions), 8) + 0.0
    structure = CrystalStructure(
        lattice_A=tuple((float(r[0]), float(r[1]), float(r[2])) for r in np.round(cell, 10)),
        symbols=tuple(symbols),
        positions_A=tuple((float(p[0]), float(p[1]), float(p[2])) for p in rounded),
        oxidation_states=tuple(states),
        site_labels=tuple(labels),
    )
    return Assembled(structure, tuple(group_of), tuple(occupation), moved)


def _images(delta: Floats, cell: Floats) -> Floats:
    """Shortest image of Cartesian differences (n, 3), by rounding; good for distances well below half the cell."""
    fractional: Floats = delta @ np.linalg.inv(cell)
    fractional -= np.round(fractional)
    return np.asarray(fractional @ cell, dtype=np.float64)


def _orient(
    index: int,
    group: Group,
    points: Floats,
    net: Floats,
    placed: dict[int, Floats],
    species: list[str],
    cell: Floats,
    generator: np.random.Generator,
    scale_eV: float,
) -> Floats:
    """Draw an orientation: random rotations, weighted by their electrostatic energy, short contacts avoided."""
    centre = points[index]
    around, charge, radius = [], [], []
    for k, name in enumerate(species):
        if k == index:
            continue
        inner = GROUPS.get(name)
        atoms = [points[k]] if k not in placed else [points[k], *placed[k]]
        charges = [net[k]] if k not in placed or inner is None else [float(q) for q in inner.charges]
        for atom, q in zip(atoms, charges, strict=True):
            around.append(atom)
            charge.append(q)
            radius.append(1.4 if name in GROUPS else max(radius_A(name, int(net[k])) or 1.0, 0.3))
    delta = _images(np.array(around) - centre, cell)
    near = np.linalg.norm(delta, axis=1) < 6.5
    delta, q_around, r_around = delta[near], np.array(charge)[near], np.array(radius)[near]
    ligands = np.array(group.offsets_A[1:])
    q_ligand = np.array([float(q) for q in group.charges[1:]])
    best: list[tuple[float, Floats]] = []
    for _ in range(ORIENTATIONS):
        rotated = ligands @ random_rotation(generator).T
        distance = np.linalg.norm(rotated[:, None] - delta[None], axis=2)
        energy = COULOMB_EV_A * float((q_ligand[:, None] * q_around / distance).sum())
        floor = np.where(q_ligand[:, None] * q_around < 0, 0.75 * (r_around + 1.2), 1.9)
        overlap = float(np.clip(floor - distance, 0.0, None).sum())
        best.append((energy + overlap * 1000.0 * scale_eV, rotated))
    energies = np.array([e for e, _ in best])
    weights = np.exp(-(energies - energies.min()) / scale_eV)
    chosen = int(np.searchsorted(np.cumsum(weights), generator.random() * weights.sum()))
    return np.asarray(centre + best[min(chosen, len(best) - 1)][1])


def _spread(
    points: Floats, cell: Floats, mobile: NDArray[np.bool_], problem: OrderingProblem, filled: list[int]
) -> tuple[Floats, float]:
    """Move mobile ions that share crowded sites apart, along the line between them, up to the exclusion distance."""
    table = problem.table
    limits = table.prototype.exclusions_A
    labels = [table.labels[i] for i in filled]
    index = np.flatnonzero(mobile)
    if len(index) < 2:
        return points, 0.0
    start = points.copy()
    limit = np.array(
        [[limits.get((min(labels[a], labels[b]), max(labels[a], labels[b])), 0.0) for b in index] for a in index]
    )
    for _ in range(60):
        delta = _images((points[index][:, None] - points[index][None]).reshape(-1, 3), cell).reshape(len(index), -1, 3)
        distance = np.linalg.norm(delta, axis=2)
        np.fill_diagonal(distance, np.inf)
        lack = limit - distance
        if lack.max() <= 1e-3:
            break
        push = 0.5 * np.clip(lack, 0.0, None) / np.maximum(distance, 1e-3)
        points[index] += 0.5 * (push[:, :, None] * delta).sum(axis=1)
    return points, float(np.abs(points - start).max())
