"""The batch engine: many systems in one forward pass, each with its own clock, temperature, method and end.

Systems of one method form a group of flat tensors; all groups share one evaluation of the potential a step. The
systems advance in blocks that end at the next guard point of any of them. At a block's end guards are checked,
finished and broken systems leave, waiting ones enter, and every `slice_steps` (or `slice_s`) the runs are saved by a
background thread. What one system does depends on nothing but itself: neither its noise nor its arithmetic knows its
neighbours.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.book import Book
from ionsieve.dynamics.guards import Trip, max_forces, temperature_bound_K
from ionsieve.dynamics.integrators import Method, method
from ionsieve.dynamics.integrators.method import as_batch
from ionsieve.dynamics.outbox import Outbox
from ionsieve.dynamics.packing import Capacity, admit, is_out_of_memory
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.dynamics.state import Control, MDState, kinetic_eV, merge, split, temperature_K, to_device
from ionsieve.errors import TransientError
from ionsieve.potentials.base import Evaluation, Potential
from ionsieve.systems import Batch
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Outcome

__all__ = ["SCALARS", "BatchEngine"]

#: in slow blocks the deadline is looked at this often, s, not only at guard points
PATIENCE_S = 5.0
#: numbers stored with each frame
SCALARS = ("temperature", "potential_energy", "conserved")


@dataclass
class Group:
    """Systems of one method: their books, state and control, in one order."""

    method: Method
    books: list[Book]
    state: MDState
    control: Control
    noise: dict[str, Tensor]
    cell_sum: Tensor | None = None


def _control(chosen: Method, state: MDState, books: Sequence[Book]) -> Control:
    """Lay out what steers the systems of `state`."""
    control = Control.build(state, [b.target() for b in books])
    return replace(control, extra=chosen.prepare(control, state))


class _OutOfMemoryError(Exception):
    """The forward pass did not fit; the groups are unchanged at the last whole step."""


class _RefusedError(Exception):
    """The potential refused the geometry of some systems; the groups are unchanged at the last whole step."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(str(reasons))
        self.reasons = reasons


class BatchEngine:
    """Advances books in batches.

    Parameters
    ----------
    potential, settings
        As in `simulate`.
    capacity
        How many atoms (or how much memory) a forward pass may hold.
    """

    scalars = SCALARS

    def __init__(self, potential: Potential, settings: DynamicsSettings, capacity: Capacity) -> None:
        self.potential, self.settings, self.capacity = potential, settings, capacity
        self.groups: list[Group] = []
        self.evaluations = 0
        self.steps_done = 0

    # ---------------------------------------------------------------- the loop

    def run(self, books: Sequence[Book], should_stop: Callable[[float], bool]) -> None:
        """Advance all books to their ends, or until `should_stop(seconds of a block)` at a guard point."""
        waiting = deque(books)
        with Outbox() as outbox:
            self._outbox, self._should_stop = outbox, should_stop
            last_save, since = time.perf_counter(), 0
            longest = 0.0
            try:
                while waiting or self.groups:
                    self._admit(waiting)
                    if not self.groups:
                        continue
                    begun = time.perf_counter()
                    count = self._block(waiting)
                    seconds = time.perf_counter() - begun
                    longest, since = max(longest, seconds), since + count
                    self._turn()
                    late = should_stop(longest)
                    # twice a slice: a kill costs the half under way and the half that is being written
                    slice_s, slice_steps = 0.5 * self.settings.slice_s, 0.5 * self.settings.slice_steps
                    due = since >= slice_steps or time.perf_counter() - last_save >= slice_s
                    if late or (due and self._aligned()):
                        self._save()
                        last_save, since = time.perf_counter(), 0
                    if late:
                        return
            finally:
                self._release()
                outbox.drain()

    @property
    def books(self) -> list[Book]:
        """The books under way."""
        return [b for g in self.groups for b in g.books]

    def _aligned(self) -> bool:
        return all(b.at_guard for b in self.books)

    # ---------------------------------------------------------------- who is in

    def _admit(self, waiting: deque[Book]) -> None:
        """Let waiting systems in where there is room; only while all others stand at guard points: blocks stay long."""
        if not waiting or not self._aligned():
            return
        new: list[Book] = []
        queue = list(waiting)
        inside = [b.n_atoms for b in self.books]
        for i in admit([(b.n_atoms, b.remaining) for b in queue], inside, self.capacity):
            book = queue[i]
            waiting.remove(book)
            book.open()
            if not book.finished:
                new.append(book)
        if new:
            self._enter(new)

    def _enter(self, new: list[Book]) -> None:
        """Give new systems their forces and join them to the groups."""
        device = self.potential.info.device
        for book in new:
            assert book.state is not None
            book.state = to_device(book.state, device)
            book.state = self._prepared(book, book.state)
        missing = [b for b in new if b.state is not None and not bool(torch.isfinite(b.state.energies).all())]
        refused = self._evaluate_singles(missing)
        entering = []
        for book in new:
            if book in refused:
                self._outbox.submit(book.end(Trip(Outcome.BAD_GEOMETRY, refused[book]), self._own(book)))
                continue
            if book.lacks_first_frame:
                self._first_frame(book)
            entering.append(book)
        self._regroup([*self.books, *entering])

    def _prepared(self, book: Book, state: MDState) -> MDState:
        """Return the state with the bath of the book's present method."""
        chosen = method(book.segment.integrator)
        wanted = chosen.bath(state, _control(chosen, state, [book]))
        if set(wanted) == set(state.bath):
            return state
        return replace(state, bath=wanted)

    def _evaluate_singles(self, books: list[Book]) -> dict[Book, str]:
        """Evaluate forces of the states held by the books; return those that the potential refused, with its words."""
        if not books:
            return {}
        states = [self._own(b) for b in books]
        joined = merge([replace(s, bath={}) for s in states])
        stress = any(method(b.segment.integrator).needs_stress for b in books)
        try:
            result = self._call(as_batch(joined), stress)
        except ValueError as error:
            if len(books) == 1:
                return {books[0]: str(error)}
            return {b: r for book in books for b, r in self._evaluate_singles([book]).items()}
        except _OutOfMemoryError:
            if len(books) == 1:
                raise TransientError(
                    "one system alone does not fit into the device's memory",
                    key=books[0].job.run_id,
                    found=f"{books[0].n_atoms} atoms",
                    remedy="use a smaller supercell, another precision or a larger device",
                ) from None
            half = len(books) // 2
            return {**self._evaluate_singles(books[:half]), **self._evaluate_singles(books[half:])}
        filled = self._filled(joined, result)
        for book, own, single in zip(books, states, split(filled), strict=True):
            book.state = replace(own, forces=single.forces, energies=single.energies, stresses=single.stresses)
        return {}

    @staticmethod
    def _filled(state: MDState, result: Evaluation) -> MDState:
        stresses = torch.zeros_like(state.stresses) if result.stresses is None else result.stresses
        return replace(state, forces=result.forces, energies=result.energies, stresses=stresses)

    @staticmethod
    def _own(book: Book) -> MDState:
        assert book.state is not None
        return book.state

    def _first_frame(self, book: Book) -> None:
        state = self._own(book)
        chosen = method(book.segment.integrator)
        control = _control(chosen, state, [book])
        book.begin_production(
            {
                "temperature": float(temperature_K(kinetic_eV(state, control), state.dof)[0]),
                "potential_energy": float(state.energies[0]),
                "conserved": float(chosen.conserved(state, control)[0]),
            }
        )

    def _regroup(self, books: list[Book]) -> None:
        """Lay the books' states out as one group a method."""
        self._collect()
        by_method: dict[str, list[Book]] = {}
        for book in books:
            by_method.setdefault(book.segment.integrator, []).append(book)
        self.groups = []
        for name, members in sorted(by_method.items()):
            state = merge([self._own(b) for b in members])
            for book in members:
                book.state = None
            chosen = method(name)
            self.groups.append(Group(chosen, members, state, _control(chosen, state, members), {}))

    def _collect(self) -> None:
        """Hand every system's state back to its book."""
        for group in self.groups:
            for book, state in zip(group.books, split(group.state), strict=True):
                book.state = state
        self.groups = []

    # ---------------------------------------------------------------- a block of steps

    def _call(self, batch: Batch, stress: bool) -> Evaluation:
        try:
            self.evaluations += 1
            return self.potential.evaluate(batch, stress=stress)
        except Exception as error:
            if is_out_of_memory(error):
                raise _OutOfMemoryError from error
            raise

    def _block(self, waiting: deque[Book]) -> int:
        """Advance all systems to the next guard point of any of them; return the steps done."""
        books = self.books
        count = min(b.until_guard() for b in books)
        self._draw_noise(count)
        due = np.array([b.due(b.step, count) for b in books])
        samples = np.array([b.samples_due(b.step, count) for b in books])
        wanted = [bool(due[:, k].any() or samples[:, k].any()) for k in range(count)]
        frames: list[tuple[Tensor, ...]] = []
        for group in self.groups:
            group.cell_sum = torch.zeros_like(group.state.cells) if group.method.ensemble == "NPT" else None
        limit = torch.tensor(
            [0.5 * b.stream.dof * BOLTZMANN_EV_PER_K * self._hottest(b) for b in books], dtype=torch.float64
        ).to(self.groups[0].state.energies)
        done, blown = 0, False
        begun = time.process_time()
        start = clock = time.perf_counter()
        refused: dict[int, str] = {}
        for k in range(count):
            try:
                kinetic = self._step(k)
            except _OutOfMemoryError:
                self._make_room(books, waiting, frames, due[:, :done], samples[:, :done])
                return done
            except _RefusedError as refusal:
                refused = refusal.reasons
                break
            done += 1
            if wanted[k]:
                frames.append(self._frame(kinetic))
            energies = self._cat([g.state.energies for g in self.groups])
            if not bool(((kinetic <= limit) & torch.isfinite(energies)).all()):
                blown = True
                break
            if time.perf_counter() - clock > PATIENCE_S and done < count:
                clock = time.perf_counter()
                if self._should_stop(clock - start):
                    break
        self.steps_done += done
        self._account(books, done, time.process_time() - begun)
        self._hand_out(books, frames, due[:, :done], samples[:, :done])
        if blown or refused:
            self._evict_blown(refused)
        return done

    @staticmethod
    def _cat(parts: list[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _draw_noise(self, count: int) -> None:
        """Draw the noise of the coming block for every group, each system from its own stream."""
        for group in self.groups:
            like = group.state.positions
            group.noise = {}
            for kind in group.method.noise:
                parts = [b.stream.take(kind, b.step, count) for b in group.books]
                joined = np.concatenate(parts, axis=1) if kind.per_atom else np.stack(parts, axis=1)
                group.noise[kind.name] = torch.from_numpy(joined).to(like)

    def _step(self, k: int) -> Tensor:
        """One step of all groups; commits their states only when it is whole. Returns kinetic energies (S,)."""
        groups = self.groups
        noises = [{name: values[k] for name, values in g.noise.items()} for g in groups]
        moved = [g.method.first(g.state, g.control, n) for g, n in zip(groups, noises, strict=True)]
        if len(moved) == 1:
            batch = as_batch(moved[0])
        else:
            offsets = np.cumsum([0, *(m.n_systems for m in moved[:-1])]).tolist()
            batch = Batch(
                torch.cat([m.positions for m in moved]),
                torch.cat([m.cells for m in moved]),
                torch.cat([m.numbers for m in moved]),
                torch.cat([m.system_index + o for m, o in zip(moved, offsets, strict=True)]),
            )
        try:
            result = self._call(batch, any(g.method.needs_stress for g in groups))
        except ValueError as error:
            raise self._who_is_refused(moved, error) from error
        kinetics, states = [], []
        atom = system = 0
        for group, m, n in zip(groups, moved, noises, strict=True):
            a, s = m.positions.shape[0], m.n_systems
            new = replace(
                m,
                forces=result.forces[atom : atom + a],
                energies=result.energies[system : system + s],
                stresses=m.stresses if result.stresses is None else result.stresses[system : system + s],
            )
            atom, system = atom + a, system + s
            state, kinetic = group.method.second(new, group.control, n)
            states.append(state)
            kinetics.append(kinetic)
        for group, state in zip(groups, states, strict=True):
            group.state = state
            if group.cell_sum is not None:
                group.cell_sum = group.cell_sum + state.cells
        return self._cat(kinetics)

    def _who_is_refused(self, moved: list[MDState], error: ValueError) -> Exception:
        """Ask the potential for each system alone; when it refuses all of several, the error is its own."""
        reasons: dict[int, str] = {}
        number = 0
        for state in moved:
            for single in split(state):
                try:
                    self._call(as_batch(single), stress=False)
                except ValueError as alone:
                    reasons[number] = str(alone)
                number += 1
        if not reasons or (len(reasons) == number and number > 1):
            return error
        return _RefusedError(reasons)

    def _frame(self, kinetic: Tensor) -> tuple[Tensor, ...]:
        """Copy what a frame needs, still on the device."""
        groups = self.groups
        return (
            self._cat([g.state.positions for g in groups]).to(torch.float32),
            self._cat([g.state.cells for g in groups]),
            temperature_K(kinetic, self._cat([g.state.dof for g in groups])),
            self._cat([g.state.energies for g in groups]),
            self._cat([g.method.conserved(g.state, g.control) for g in groups]),
        )

    def _hand_out(
        self, books: list[Book], frames: list[tuple[Tensor, ...]], due: np.ndarray, samples: np.ndarray
    ) -> None:
        """Give every book its frames: one copy from the device a block."""
        if not frames:
            return
        columns = [torch.stack(column).cpu().numpy() for column in zip(*frames, strict=True)]
        positions, cells, *scalars = columns
        taken = np.flatnonzero(due.any(axis=0) | samples.any(axis=0))
        atom = 0
        for i, book in enumerate(books):
            rows = np.flatnonzero(due[i, taken])
            if len(rows):
                steps = book.step - due.shape[1] + 1 + taken[rows]
                book.record(
                    steps,
                    positions[rows, atom : atom + book.n_atoms],
                    cells[rows, i],
                    {name: values[rows, i] for name, values in zip(SCALARS, scalars, strict=True)},
                )
            chosen = np.flatnonzero(samples[i, taken])
            if len(chosen):
                book.sample(positions[chosen, atom : atom + book.n_atoms])
            atom += book.n_atoms

    def _account(self, books: list[Book], done: int, seconds: float) -> None:
        atoms = sum(b.n_atoms for b in books)
        for group in self.groups:
            for i, book in enumerate(group.books):
                half = book.segment.steps // 2
                if group.cell_sum is not None and book.in_segment >= half:
                    book.cell_sum = book.cell_sum + group.cell_sum[i].cpu().numpy()
                    book.cell_count += done
                book.step += done
                book.seconds += seconds * book.n_atoms / atoms

    # ---------------------------------------------------------------- after a block

    def _turn(self) -> None:
        """At a block's end: check guards, move systems to their next segment, let the finished leave."""
        if not self.groups:
            return
        numbers = []
        for group in self.groups:
            kinetic = kinetic_eV(group.state, group.control)
            numbers.append(
                torch.stack([temperature_K(kinetic, group.state.dof), group.state.energies, max_forces(group.state)])
            )
        table = torch.cat(numbers, dim=1).cpu().numpy()
        trips: dict[Book, Trip] = {}
        turning: set[Book] = set()
        column = 0
        for group in self.groups:
            positions, cells = group.state.positions.cpu().numpy(), group.state.cells.cpu().numpy()
            atom = 0
            for i, book in enumerate(group.books):
                rows = slice(atom, atom + book.n_atoms)
                if book.at_guard:
                    T, energy, force = (float(x) for x in table[:, column])
                    trip = book.guard(
                        temperature_K=T,
                        energy_eV=energy,
                        force_eV_per_A=force,
                        positions=positions[rows],
                        cell=cells[i],
                    )
                    if trip is not None:
                        trips[book] = trip
                    elif book.in_segment == book.segment.steps:
                        turning.add(book)
                atom, column = atom + book.n_atoms, column + 1
        if trips or turning:
            self._move_on(trips, turning)

    def _move_on(self, trips: dict[Book, Trip], turning: set[Book]) -> None:
        books = self.books
        self._collect()
        stay = []
        changed = []
        for book in books:
            if book in trips:
                self._outbox.submit(book.end(trips[book], self._cpu(book)))
            elif book in turning:
                was_npt = book.segment.kind == "npt"
                book.next_segment()
                if book.finished:
                    self._outbox.submit(book.end(None, self._cpu(book)))
                    continue
                book.state = self._prepared(book, self._own(book))
                if was_npt or method(book.segment.integrator).needs_stress:
                    changed.append(book)
                stay.append(book)
            else:
                stay.append(book)
        refused = self._evaluate_singles(changed)
        for book, reason in refused.items():
            self._outbox.submit(book.end(Trip(Outcome.EXPLODED, reason), self._cpu(book)))
        for book in turning:
            if book in stay and book not in refused and book.lacks_first_frame:
                self._first_frame(book)
        self._regroup([b for b in stay if b not in refused])

    def _cpu(self, book: Book) -> MDState:
        return to_device(self._own(book), "cpu")

    def _evict_blown(self, refused: dict[int, str]) -> None:
        """Between guard points: a system is no longer finite or far too hot, or the potential refused it."""
        trips: dict[Book, Trip] = {}
        number = 0
        for group in self.groups:
            kinetic = kinetic_eV(group.state, group.control)
            T = temperature_K(kinetic, group.state.dof).tolist()
            energies = group.state.energies.tolist()
            for i, book in enumerate(group.books):
                bound = self._hottest(book)
                if number in refused:
                    trips[book] = Trip(Outcome.EXPLODED, f"the potential refuses the geometry: {refused[number]}")
                elif not np.isfinite([T[i], energies[i]]).all():
                    trips[book] = Trip(Outcome.EXPLODED, "energy, temperature or a force is not a finite number")
                elif T[i] > bound:
                    trips[book] = Trip(
                        Outcome.EXPLODED,
                        f"kinetic temperature {T[i]:.0f} K against a target of {book.job.temperature_K:.0f} K "
                        f"(bound: {bound:.0f} K)",
                    )
                number += 1
        self._move_on(trips, set())

    def _hottest(self, book: Book) -> float:
        return temperature_bound_K(self.settings.guards, book.job.temperature_K, book.stream.dof)

    def _make_room(
        self,
        books: list[Book],
        waiting: deque[Book],
        frames: list[tuple[Tensor, ...]],
        due: np.ndarray,
        samples: np.ndarray,
    ) -> None:
        """After running out of memory: keep what was done, send half of the systems back to wait, lower the bound."""
        done = due.shape[1]
        self.steps_done += done
        self._account(books, done, 0.0)
        self._hand_out(books, frames, due, samples)
        if len(books) == 1:
            raise TransientError(
                "one system alone does not fit into the device's memory",
                key=books[0].job.run_id,
                found=f"{books[0].n_atoms} atoms",
                remedy="use a smaller supercell, another precision or a larger device",
            )
        self.capacity.ran_out([b.n_atoms for b in books])
        self._collect()
        inside: list[Book] = []
        for book in books:
            if not inside or self.capacity.fits([b.n_atoms for b in inside], book.n_atoms):
                inside.append(book)
            else:
                waiting.appendleft(book)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._regroup(inside)

    # ---------------------------------------------------------------- disk

    def _save(self) -> None:
        """Save every run that is under way, after the save before is on disk."""
        self._outbox.drain()
        for group in self.groups:
            for book, state in zip(group.books, split(group.state), strict=True):
                self._outbox.submit(book.saver(to_device(state, "cpu")))

    def _release(self) -> None:
        self.groups = []
