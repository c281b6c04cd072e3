"""Many systems laid out for one forward pass: what touches tensors, and nothing of who is in or why.

Systems of one method form a group of flat tensors; all groups share one evaluation of the potential a step. A step is
committed only when it is whole: after a refusal or a lack of memory the groups stand where they stood. What one system
does depends on nothing but itself: neither its noise nor its arithmetic knows its neighbours.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ionsieve.dynamics.book import Book
from ionsieve.dynamics.guards import Reading, max_forces
from ionsieve.dynamics.integrators import Method, method
from ionsieve.dynamics.integrators.method import as_batch
from ionsieve.dynamics.packing import Capacity
from ionsieve.dynamics.state import Control, MDState, kinetic_eV, merge, split, temperature_K, to_device
from ionsieve.errors import GeometryError, TransientError
from ionsieve.potentials.base import Evaluation, Potential
from ionsieve.potentials.memory import is_out_of_memory
from ionsieve.systems import Batch

__all__ = ["SCALARS", "Fleet", "OutOfMemoryError", "RefusedError", "free_memory", "scalars_of", "too_large"]

#: numbers stored with each frame; a committee's disagreement comes beside them
SCALARS = ("temperature", "potential_energy", "conserved")


def scalars_of(potential: Potential) -> tuple[str, ...]:
    """Names of the numbers stored with each frame."""
    return (*SCALARS, "force_disagreement") if potential.info.members > 1 else SCALARS


class OutOfMemoryError(Exception):
    """The forward pass did not fit; the groups are unchanged at the last whole step."""


class RefusedError(Exception):
    """The potential refused the geometry of some systems; the groups are unchanged at the last whole step."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(str(reasons))
        self.reasons = reasons


def free_memory() -> None:
    """Give back what a failed forward pass left, in cycles and in torch's cache; call it outside of any `except`."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_large(book: Book) -> TransientError:
    """Return the error for a single system that does not fit into the device."""
    return TransientError(
        "one system alone does not fit into the device's memory",
        key=book.job.run_id,
        found=f"{book.n_atoms} atoms",
        remedy="use a smaller supercell, another precision or a larger device",
    )


@dataclass
class Group:
    """Systems of one method: their books, state and control, in one order.

    `disagreement` (N,) is the committee's at the last evaluation, or None. Where the method moves the cells, `cell_sum`
    (S, 3, 3) is each run's sum so far, and `cell_counts` (count, S, 1, 1) says which steps of the block enter it.
    """

    method: Method
    books: list[Book]
    state: MDState
    control: Control
    noise: dict[str, Tensor]
    cell_sum: Tensor | None = None
    cell_counts: Tensor | None = None
    disagreement: Tensor | None = None


def _control(chosen: Method, state: MDState, books: Sequence[Book]) -> Control:
    """Lay out what steers the systems of `state`."""
    control = Control.build(state, [b.target() for b in books])
    return replace(control, extra=chosen.prepare(control, state))


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _spread(disagreement: Tensor, state: MDState) -> tuple[Tensor, Tensor]:
    """Root mean square over the atoms of each system, and its largest, (S,), eV/Å."""
    square = (disagreement * disagreement).to(state.energies)
    zeros = torch.zeros_like(state.energies)
    largest = zeros.scatter_reduce(0, state.system_index, square, reduce="amax", include_self=True)
    counts = torch.bincount(state.system_index, minlength=state.n_systems)
    return (zeros.index_add(0, state.system_index, square) / counts).sqrt(), largest.sqrt()


class Fleet:
    """The systems under way on the device.

    Parameters
    ----------
    potential
        Evaluates all of them in one call.
    capacity
        Lowered where the forces of entering systems do not fit.
    """

    def __init__(self, potential: Potential, capacity: Capacity) -> None:
        self.potential, self.capacity = potential, capacity
        self.groups: list[Group] = []
        self._atoms: tuple[Tensor, Tensor] | None = None
        self.evaluations = 0

    @property
    def books(self) -> list[Book]:
        """The books under way, in the order of the systems."""
        return [b for g in self.groups for b in g.books]

    # ---------------------------------------------------------------- who is laid out

    def lay_out(self, books: Sequence[Book]) -> None:
        """Lay the books' states out as one group a method; they belong to the fleet until `collect`."""
        self._atoms = None
        by_method: dict[str, list[Book]] = {}
        for book in books:
            by_method.setdefault(book.segment.integrator, []).append(book)
        for name, members in sorted(by_method.items()):
            state = merge([b.own_state for b in members])
            for book in members:
                book.state = None
            chosen = method(name)
            self.groups.append(Group(chosen, members, state, _control(chosen, state, members), {}))

    def collect(self) -> list[Book]:
        """Hand every system's state back to its book; return the books. Nothing is under way after that."""
        books = []
        for book, state in self.copies():
            book.state = state
            books.append(book)
        self.groups = []
        return books

    def copies(self) -> Iterator[tuple[Book, MDState]]:
        """Yield every book with its own copy of its state."""
        for group in self.groups:
            yield from zip(group.books, split(group.state), strict=True)

    def prepare(self, book: Book) -> None:
        """Bring a book's state to the device, with the bath of its present method."""
        state = to_device(book.own_state, self.potential.info.device)
        chosen = method(book.segment.integrator)
        wanted = chosen.bath(state, _control(chosen, state, [book]))
        book.state = state if set(wanted) == set(state.bath) else replace(state, bath=wanted)

    # ---------------------------------------------------------------- evaluations

    def _call(self, batch: Batch, stress: bool) -> Evaluation:
        try:
            self.evaluations += 1
            return self.potential.evaluate(batch, stress=stress)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # outside of the `except`: its traceback would keep all tensors of the failed pass alive
        raise OutOfMemoryError

    def evaluate(self, books: list[Book]) -> dict[Book, str]:
        """Evaluate states that the books hold; return those that the potential refused, with its words.

        Raises
        ------
        TransientError
            When one system alone does not fit.
        """
        if not books:
            return {}
        states = [b.own_state for b in books]
        joined = merge([replace(s, bath={}) for s in states])
        stress = any(method(b.segment.integrator).needs_stress for b in books)
        refusal, result = "", None
        try:
            result = self._call(as_batch(joined), stress)
        except GeometryError as error:
            refusal = str(error)
        except OutOfMemoryError:
            pass
        if result is None:
            if len(books) == 1 and refusal:
                return {books[0]: refusal}
            del joined  # the pieces need its room
            parts = [[b] for b in books] if refusal else self._smaller(books)
            return {b: reason for part in parts for b, reason in self.evaluate(part).items()}
        stresses = torch.zeros_like(joined.stresses) if result.stresses is None else result.stresses
        filled = split(replace(joined, forces=result.forces, energies=result.energies, stresses=stresses))
        for book, own, single in zip(books, states, filled, strict=True):
            book.state = replace(own, forces=single.forces, energies=single.energies, stresses=single.stresses)
        self._note(result.disagreement, joined, books)
        return {}

    def _smaller(self, books: list[Book]) -> list[list[Book]]:
        """After running out of memory: lower the capacity, and cut books into parts that fit it."""
        if len(books) == 1:
            raise too_large(books[0])
        self.capacity.ran_out([b.n_atoms for b in books])
        free_memory()
        parts: list[list[Book]] = [[]]
        for book in books:
            if not self.capacity.fits([b.n_atoms for b in parts[-1]], book.n_atoms):
                parts.append([])
            parts[-1].append(book)
        return parts

    @staticmethod
    def _note(disagreement: Tensor | None, state: MDState, books: Sequence[Book]) -> None:
        """Tell the books how far the committee disagrees about them now."""
        if disagreement is None:
            return
        table = torch.stack(_spread(disagreement, state)).cpu().numpy()
        for i, book in enumerate(books):
            book.disagreement = (float(table[0, i]), float(table[1, i]))

    # ---------------------------------------------------------------- a block of steps

    def begin(self, count: int) -> None:
        """Draw the noise of the coming block, each system from its own stream, and go on to sum cells."""
        for group in self.groups:
            group.cell_sum = group.cell_counts = None
            if group.method.ensemble == "NPT":
                cells = group.state.cells
                group.cell_sum = torch.from_numpy(np.stack([b.cell_sum for b in group.books])).to(cells)
                counts = np.stack([b.cells_due(b.step, count) for b in group.books], axis=1)
                group.cell_counts = torch.from_numpy(counts[:, :, None, None]).to(cells.device)
            like = group.state.positions
            group.noise = {}
            for kind in group.method.noise:
                parts = [b.stream.take(kind, b.step, count) for b in group.books]
                joined = np.concatenate(parts, axis=1) if kind.per_atom else np.stack(parts, axis=1)
                group.noise[kind.name] = torch.from_numpy(joined).to(like)

    def step(self, k: int) -> Tensor:
        """Do step k of the block for all groups; return kinetic energies (S,), eV.

        Raises
        ------
        OutOfMemoryError, RefusedError
            Nothing has changed then.
        """
        groups = self.groups
        noises = [{name: values[k] for name, values in g.noise.items()} for g in groups]
        moved = [g.method.first(g.state, g.control, n) for g, n in zip(groups, noises, strict=True)]
        if len(moved) == 1:
            batch = as_batch(moved[0])
        else:
            batch = Batch(
                torch.cat([m.positions for m in moved]),
                torch.cat([m.cells for m in moved]),
                *self._atoms_of(moved),
            )
        try:
            result = self._call(batch, any(g.method.needs_stress for g in groups))
        except GeometryError as error:
            raise self._who_is_refused(moved, error) from error
        kinetics, states = [], []
        atom = system = 0
        for group, m, n in zip(groups, moved, noises, strict=True):
            rows, a, s = slice(atom, atom + m.positions.shape[0]), m.positions.shape[0], m.n_systems
            new = replace(
                m,
                forces=result.forces[rows],
                energies=result.energies[system : system + s],
                stresses=m.stresses if result.stresses is None else result.stresses[system : system + s],
            )
            group.disagreement = None if result.disagreement is None else result.disagreement[rows]
            atom, system = atom + a, system + s
            state, kinetic = group.method.second(new, group.control, n)
            states.append(state)
            kinetics.append(kinetic)
        for group, state in zip(groups, states, strict=True):
            group.state = state
            if group.cell_sum is not None and group.cell_counts is not None:
                group.cell_sum = torch.where(group.cell_counts[k], group.cell_sum + state.cells, group.cell_sum)
        return _join(kinetics)

    def _atoms_of(self, moved: list[MDState]) -> tuple[Tensor, Tensor]:
        """Numbers and system index of all groups: the same tensors from step to step, so that nobody checks anew."""
        if self._atoms is None:
            offsets = np.cumsum([0, *(m.n_systems for m in moved[:-1])]).tolist()
            self._atoms = (
                torch.cat([m.numbers for m in moved]),
                torch.cat([m.system_index + o for m, o in zip(moved, offsets, strict=True)]),
            )
        return self._atoms

    def _who_is_refused(self, moved: list[MDState], error: GeometryError) -> Exception:
        """Ask the potential for each system alone; when it refuses none, the error is its own."""
        reasons: dict[int, str] = {}
        number = 0
        for state in moved:
            for single in split(state):
                try:
                    self._call(as_batch(single), stress=False)
                except GeometryError as alone:
                    reasons[number] = str(alone)
                number += 1
        return RefusedError(reasons) if reasons else error

    # ---------------------------------------------------------------- what is read off

    def energies(self) -> Tensor:
        """(S,), eV."""
        return _join([g.state.energies for g in self.groups])

    def finite(self) -> Tensor:
        """(S,) bool: whether energy, and stress where the cell follows it, are numbers."""
        parts = []
        for group in self.groups:
            finite = torch.isfinite(group.state.energies)
            if group.method.needs_stress:
                finite = finite & torch.isfinite(group.state.stresses).flatten(1).all(dim=1)
            parts.append(finite)
        return _join(parts)

    def frame(self, kinetic: Tensor) -> tuple[Tensor, ...]:
        """Copy what a frame needs, still on the device: positions, cells, then the scalars."""
        groups = self.groups
        frame = (
            _join([g.state.positions for g in groups]).to(torch.float32),
            _join([g.state.cells for g in groups]),
            temperature_K(kinetic, _join([g.state.dof for g in groups])),
            self.energies(),
            _join([g.method.conserved(g.state, g.control) for g in groups]),
        )
        spreads = [_spread(g.disagreement, g.state)[0] for g in groups if g.disagreement is not None]
        return (*frame, _join(spreads)) if spreads else frame

    def first_scalars(self, book: Book) -> dict[str, float]:
        """Return the scalars of the state that a book holds."""
        state = book.own_state
        chosen = method(book.segment.integrator)
        control = _control(chosen, state, [book])
        values = {
            "temperature": float(temperature_K(kinetic_eV(state, control), state.dof)[0]),
            "potential_energy": float(state.energies[0]),
            "conserved": float(chosen.conserved(state, control)[0]),
        }
        if book.disagreement is not None:
            values["force_disagreement"] = book.disagreement[0]
        return values

    def read(self) -> dict[Book, Reading]:
        """Reduce every system to what its guards look at: one copy from the device a group."""
        readings: dict[Book, Reading] = {}
        for group in self.groups:
            kinetic = kinetic_eV(group.state, group.control)
            energies = group.state.energies
            if group.method.needs_stress:  # a stress that is no number is the end too: the cell would follow it
                finite = torch.isfinite(group.state.stresses).flatten(1).all(dim=1)
                energies = torch.where(finite, energies, torch.nan)
            table = torch.stack([temperature_K(kinetic, group.state.dof), energies, max_forces(group.state)]).cpu()
            if group.disagreement is not None:
                self._note(group.disagreement, group.state, group.books)
            for i, book in enumerate(group.books):
                T, energy, force = (float(x) for x in table[:, i])
                largest = book.disagreement[1] if book.disagreement is not None else None
                readings[book] = Reading(T, energy, force, largest)
        return readings

    def geometries(self) -> Iterator[tuple[Book, NDArray[np.float64], NDArray[np.float64]]]:
        """Yield every book with its positions (N, 3) and cell (3, 3), Å, on the host."""
        for group in self.groups:
            positions, cells = group.state.positions.cpu().numpy(), group.state.cells.cpu().numpy()
            atom = 0
            for i, book in enumerate(group.books):
                yield book, positions[atom : atom + book.n_atoms], cells[i]
                atom += book.n_atoms
