"""Neighbour pairs of many periodic systems, with a Verlet skin.

vesin finds all pairs within ``cutoff + skin``; they are kept, in a fixed order, until an atom could have moved a pair
across the cut-off unseen; each call then keeps the pairs that are truly within the cut-off. The kept pairs and their
order are a function of the positions alone, so a result does not depend on when the list was last rebuilt, nor on
the other systems of the batch: restarts and batches are bitwise reproducible where the arithmetic is.

Rebuild criterion (per system). Let F = C0^-1 C carry the cell C0 of the last build to the cell C of now, and
u_i = r_i - r0_i F. A pair that was not listed had |d0| > r_c + s, and now |d| >= sigma_min(F) |d0| - 2 max|u|.
Nothing can be missing while ``2 max|u| <= sigma_min(F) (r_c + s) - r_c``; with a fixed cell this is the usual
``max|u| <= s / 2`` (L. Verlet, Phys. Rev. 159, 98 (1967)).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vesin import NeighborList

from ionsieve.errors import GeometryError, InputError
from ionsieve.geometry.seen import Seen

__all__ = ["NeighbourStatistics", "Pairs", "VerletList", "half_list"]

#: margin of the rebuild criterion, Å: rounding of float32 positions of unwrapped trajectories stays below it.
_ROUNDING_A = 1e-3
#: a system beyond these has exploded or collapsed; ordinary crystals have 50 to 150 neighbours within 6 Å
_FARTHEST_IMAGES, _MOST_NEIGHBOURS = 1e7, 5000.0


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms within the cut-off, each once.

    Attributes
    ----------
    first, second
        (P,) int64, rows of the batch; sorted by (first, second, shift), so pairs of one system are contiguous.
    shifts
        (P, 3), whole lattice vectors added to `second`, in the floating type of the positions.
    system
        (P,) int64, the system of each pair.
    vectors
        (P, 3), Å, from `first` to the image of `second`.
    distances
        (P,), Å.
    """

    first: Tensor
    second: Tensor
    shifts: Tensor
    system: Tensor
    vectors: Tensor
    distances: Tensor

    @property
    def count(self) -> int:
        """Number of pairs P."""
        return int(self.first.shape[0])


def half_list(
    positions: NDArray[np.floating], cell: NDArray[np.floating], cutoff_A: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of one periodic system within `cutoff_A`, each once, sorted.

    Parameters
    ----------
    positions, cell
        (N, 3) and (3, 3), Å; positions may lie outside the cell.
    cutoff_A
        May exceed half the cell: a pair then occurs with several shifts, an atom with its own images.

    Returns
    -------
    first, second, shifts
        (P,), (P,) and (P, 3): the vector is ``r[second] - r[first] + shifts @ cell`` with first < second, or
        first == second and the first non-zero shift positive. Sorted by (first, second, shift).
    """
    empty = np.zeros(0, dtype=np.int64)
    if len(positions) == 0:
        return empty, empty, np.zeros((0, 3), dtype=np.int64)
    search = NeighborList(cutoff=cutoff_A, full_list=False, n_threads=1)
    # vesin reduces positions into the cell itself
    first, second, shifts = search.compute(
        np.ascontiguousarray(positions, dtype=np.float64),
        np.ascontiguousarray(cell, dtype=np.float64),
        periodic=True,
        quantities="ijS",
    )
    first, second, shifts = first.astype(np.int64), second.astype(np.int64), shifts.astype(np.int64)
    if len(first) == 0:
        return first, second, shifts
    x, y, z = shifts.T
    turn = (first > second) | ((first == second) & ((x < 0) | ((x == 0) & ((y < 0) | ((y == 0) & (z < 0))))))
    first, second = np.where(turn, second, first), np.where(turn, first, second)
    np.negative(shifts, out=shifts, where=turn[:, None])
    # one integer a pair: sorting it is ten times faster than a sort by five keys
    low = shifts.min(axis=0)
    spans = shifts.max(axis=0) - low + 1
    key = first * len(positions) + second
    for axis in range(3):
        key = key * spans[axis] + (shifts[:, axis] - low[axis])
    order = np.argsort(key)
    return first[order], second[order], shifts[order]


@dataclass
class NeighbourStatistics:
    """What a list has done: calls, and how many system lists were rebuilt in them."""

    calls: int = 0
    systems: int = 0
    rebuilt: int = 0

    @property
    def rebuilt_fraction(self) -> float:
        """Share of system lists that had to be rebuilt."""
        return self.rebuilt / self.systems if self.systems else 0.0


@dataclass(frozen=True)
class _SystemList:
    """Half list of one system, in rows of the batch."""

    first: Tensor
    second: Tensor
    shifts: Tensor


@dataclass(eq=False)
class _Entry:
    """Lists of one batch with what they were built from."""

    numbers: Tensor
    system_index: Tensor
    positions: Tensor
    cells: Tensor
    lists: list[_SystemList]
    first: Tensor
    second: Tensor
    shifts: Tensor
    system: Tensor
    images: tuple[Tensor, Tensor] | None = None  #: cells, and shifts @ cell for them
    atoms: Seen = field(default_factory=Seen)  #: numbers and system_index that were found equal
    built_at: Seen = field(default_factory=Seen)  #: cells that were found equal to those of the build
    shown_at: Seen = field(default_factory=Seen)  #: cells that `images` was made for


class VerletList:
    """Pairs within a cut-off for batch after batch.

    The cache serves callers that come again with the same systems (MD, relaxation); it never changes a result.

    Parameters
    ----------
    cutoff_A
        Pairs up to this distance (inclusive) are returned.
    skin_A
        Extra radius of the kept list; 0 searches anew each time that anything moved.
    keep
        How many different batches are remembered.
    """

    def __init__(self, cutoff_A: float, skin_A: float = 0.8, *, keep: int = 8) -> None:
        if not cutoff_A > 0 or skin_A < 0:
            raise InputError(
                "a neighbour list needs a positive cut-off and a skin of at least zero",
                key="skin_A",
                found=f"cutoff {cutoff_A} Å, skin {skin_A} Å",
            )
        self.cutoff_A = float(cutoff_A)
        self.skin_A = float(skin_A)
        self.statistics = NeighbourStatistics()
        self._keep = keep
        self._entries: list[_Entry] = []

    def pairs(self, positions: Tensor, cells: Tensor, numbers: Tensor, system_index: Tensor) -> Pairs:
        """Return the pairs of all systems.

        Parameters
        ----------
        positions, cells, numbers, system_index
            As in `ionsieve.systems.Batch`. No gradient flows through the result.

        Raises
        ------
        GeometryError
            When positions or cells are not finite, or a cell has no volume.
        """
        given = cells  # `detach` makes another object
        positions, cells = positions.detach(), cells.detach()
        entry = self._current(positions, cells, numbers, system_index, given)
        if entry.images is None or not entry.shown_at(given):
            if entry.images is None or not torch.equal(entry.images[0], cells):
                entry.images = (cells.clone(), _images(cells, entry.shifts, entry.system))
            entry.shown_at.note(given)
        vectors = positions.index_select(0, entry.second)
        vectors.sub_(positions.index_select(0, entry.first)).add_(entry.images[1])
        x, y, z = vectors.unbind(1)
        squared = x * x + y * y + z * z
        near = torch.nonzero(squared <= self.cutoff_A**2).squeeze(1)
        return Pairs(
            first=entry.first.index_select(0, near),
            second=entry.second.index_select(0, near),
            shifts=entry.shifts.index_select(0, near),
            system=entry.system.index_select(0, near),
            vectors=vectors.index_select(0, near),
            distances=squared.index_select(0, near).sqrt(),
        )

    def _current(
        self, positions: Tensor, cells: Tensor, numbers: Tensor, system_index: Tensor, given: Tensor
    ) -> _Entry:
        n_systems = int(cells.shape[0])
        self.statistics.calls += 1
        self.statistics.systems += n_systems
        best: tuple[int, _Entry, Tensor] | None = None
        for entry in reversed(self._entries):
            if (
                entry.numbers.shape != numbers.shape
                or entry.cells.shape != cells.shape
                or entry.positions.dtype != positions.dtype
                or entry.positions.device != positions.device
                or not _same_atoms(entry, numbers, system_index)
            ):
                continue
            stale = self._stale(entry, positions, cells, given)
            count = int(stale.sum())
            if best is None or count < best[0]:
                best = (count, entry, stale)
            if count == 0:
                break
        if best is not None and best[0] == 0:
            self._entries.remove(best[1])
            self._entries.append(best[1])
            return best[1]
        if best is not None and best[0] < n_systems:
            self._entries.remove(best[1])
            entry = self._rebuild(best[1], best[2], positions, cells)
        else:
            nothing = torch.ones(n_systems, dtype=torch.bool)
            blank = _SystemList(*(torch.zeros(0, dtype=torch.int64),) * 2, positions.new_zeros((0, 3)))
            draft = _Entry(
                numbers.clone(),
                system_index.clone(),
                positions.clone(),
                cells.clone(),
                [blank] * n_systems,
                *(torch.zeros(0, dtype=torch.int64),) * 2,
                positions.new_zeros((0, 3)),
                torch.zeros(0, dtype=torch.int64),
            )
            entry = self._rebuild(draft, nothing, positions, cells)
            # an older list of the same atoms stays: two orderings of one candidate may take turns
        self._entries.append(entry)
        del self._entries[: -self._keep]
        return entry

    def _stale(self, entry: _Entry, positions: Tensor, cells: Tensor, given: Tensor) -> Tensor:
        """(S,) bool on the CPU: which lists may miss a pair."""
        n_systems = int(cells.shape[0])
        reach = self.cutoff_A + self.skin_A
        if entry.built_at(given) or torch.equal(entry.cells, cells):
            entry.built_at.note(given)
            moved = positions - entry.positions
            allowed = positions.new_full((n_systems,), self.skin_A)
        else:
            strain = torch.linalg.solve(entry.cells.double(), cells.double())
            # a cell that is no number is stale below; left in, it would fail the decomposition of all
            sound = torch.isfinite(strain).flatten(1).all(dim=1)
            strain = torch.where(sound[:, None, None], strain, torch.eye(3, dtype=strain.dtype, device=strain.device))
            carried = torch.einsum("na,nab->nb", entry.positions.double(), strain[entry.system_index])
            moved = (positions.double() - carried).to(positions.dtype)
            smallest = torch.linalg.svdvals(strain)[:, -1]
            allowed = torch.where(sound, smallest * reach - self.cutoff_A, -torch.inf).to(positions.dtype)
        length = torch.linalg.vector_norm(moved, dim=1)
        largest = length.new_zeros(n_systems).scatter_reduce_(0, entry.system_index, length, "amax")
        # "not (<=)" so that a NaN counts as stale and is reported by the rebuild
        return torch.logical_not(2 * largest + _ROUNDING_A <= allowed).cpu()

    def _rebuild(self, entry: _Entry, stale: Tensor, positions: Tensor, cells: Tensor) -> _Entry:
        n_systems = int(cells.shape[0])
        counts = torch.bincount(entry.system_index, minlength=n_systems).tolist()
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(int).tolist()
        where = positions.cpu().numpy().astype(np.float64)
        boxes = cells.cpu().numpy().astype(np.float64)
        device = positions.device
        lists = list(entry.lists)
        reference, old_cells = entry.positions.clone(), entry.cells.clone()
        for index in torch.nonzero(stale).squeeze(1).tolist():
            rows = slice(starts[index], starts[index + 1])
            _check_geometry(where[rows], boxes[index], index, self.cutoff_A)
            first, second, shifts = half_list(where[rows], boxes[index], self.cutoff_A + self.skin_A)
            lists[index] = _SystemList(
                torch.from_numpy(first + starts[index]).to(device),
                torch.from_numpy(second + starts[index]).to(device),
                torch.from_numpy(shifts).to(device=device, dtype=positions.dtype),
            )
            reference[rows], old_cells[index] = positions[rows], cells[index]
            self.statistics.rebuilt += 1
        sizes = torch.tensor([int(part.first.shape[0]) for part in lists], dtype=torch.int64)
        return replace(
            entry,
            positions=reference,
            cells=old_cells,
            lists=lists,
            first=_join([part.first for part in lists], entry.numbers),
            second=_join([part.second for part in lists], entry.numbers),
            shifts=torch.cat([part.shifts for part in lists]) if lists else positions.new_zeros((0, 3)),
            system=torch.repeat_interleave(torch.arange(n_systems), sizes).to(device),
            images=None,
            built_at=Seen(),
            shown_at=Seen(),
        )


def _same_atoms(entry: _Entry, numbers: Tensor, system_index: Tensor) -> bool:
    if entry.atoms(numbers, system_index):
        return True
    same = torch.equal(entry.numbers, numbers) and torch.equal(entry.system_index, system_index)
    if same:
        entry.atoms.note(numbers, system_index)
    return same


def _images(cells: Tensor, shifts: Tensor, system: Tensor) -> Tensor:
    """Return ``shifts @ cell`` (P, 3), written out so that no row depends on the others."""
    rows = cells.index_select(0, system)
    return shifts[:, 0:1] * rows[:, 0] + shifts[:, 1:2] * rows[:, 1] + shifts[:, 2:3] * rows[:, 2]


def _join(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64, device=like.device)


def _check_geometry(positions: NDArray[np.float64], cell: NDArray[np.float64], index: int, cutoff_A: float) -> None:
    if not np.isfinite(positions).all() or not np.isfinite(cell).all():
        raise GeometryError(
            "positions or cell are not finite",
            key=f"system {index}",
            cause="the dynamics exploded, or the input file holds NaN",
            remedy="guards take such a system out of its batch before it is evaluated",
        )
    volume = abs(float(np.linalg.det(cell)))
    if not volume > 1e-6:
        raise GeometryError(
            "the cell has no volume; every system is periodic in three directions",
            key=f"system {index}",
            found=f"{volume:.3g} Å³",
            remedy="put an isolated molecule into a box that is wider than the cut-off",
        )
    if len(positions) == 0:
        return
    images = float(np.abs(positions @ np.linalg.inv(cell)).max())
    if images > _FARTHEST_IMAGES:
        raise GeometryError(
            "an atom is absurdly far from its cell",
            key=f"system {index}",
            found=f"{images:.3g} cells away",
            cause="the dynamics exploded",
            remedy="guards take such a system out of its batch",
        )
    neighbours = len(positions) / volume * 4.0 / 3.0 * np.pi * cutoff_A**3
    if neighbours > _MOST_NEIGHBOURS:
        raise GeometryError(
            "the cell has collapsed: its neighbour list would fill the memory",
            key=f"system {index}",
            found=f"{volume:.3g} Å³ for {len(positions)} atoms, about {neighbours:.3g} neighbours an atom",
            cause="a barostat ran away, or the lattice parameters are not in Å",
            remedy="look at the cell and at the barostat's time constant",
        )
