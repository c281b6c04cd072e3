"""The batch engine: many systems in one forward pass, each with its own clock, temperature, method and end.

The systems of the fleet (`engines.fleet`) advance in blocks that end at the next guard point of any of them. At a
block's end guards are checked, finished, broken and sufficiently known systems leave, waiting ones enter, and every
`slice_steps` (or `slice_s`) the runs are saved by a background thread.

Guard points of systems may lie at different offsets: after a stop between two of them, a lack of memory, a segment
that is no multiple of `guard_steps`. Those that stand at one then rest until the others have come to theirs
(`_align`), so that blocks stay long and the waiting get in.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ionsieve.dynamics.book import Book
from ionsieve.dynamics.engines.fleet import Fleet, OutOfMemoryError, RefusedError, free_memory, scalars_of, too_large
from ionsieve.dynamics.guards import NOT_FINITE, Trip, temperature_bound_K, too_hot
from ionsieve.dynamics.integrators import method
from ionsieve.dynamics.outbox import Outbox
from ionsieve.dynamics.packing import Capacity, admit
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.dynamics.state import to_device
from ionsieve.potentials.base import Potential
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Outcome

__all__ = ["BatchEngine"]

#: in slow blocks the deadline is looked at this often, s, not only at guard points
PATIENCE_S = 5.0


class BatchEngine:
    """Advances books in batches.

    Parameters
    ----------
    potential, settings
        As in `simulate`.
    capacity
        How many atoms (or how much memory) a forward pass may hold.
    """

    def __init__(self, potential: Potential, settings: DynamicsSettings, capacity: Capacity) -> None:
        self.fleet = Fleet(potential, capacity)
        self.settings, self.capacity = settings, capacity
        self._resting: list[Book] = []  # at a guard point, until the others have come to theirs
        self.scalars = scalars_of(potential)
        self.steps_done = 0

    # ---------------------------------------------------------------- the loop

    def run(self, books: Sequence[Book], should_stop: Callable[[float], bool]) -> None:
        """Advance all books to their ends, or until `should_stop(seconds of a block)` at a guard point."""
        for book in books:
            book.look_ahead()
        waiting = deque(books)
        with Outbox() as outbox:
            self._outbox, self._should_stop = outbox, should_stop
            last_save, since = time.perf_counter(), 0
            longest = 0.0
            try:
                while waiting or self.fleet.groups or self._resting:
                    self._admit(waiting)
                    self._align()
                    if not self.fleet.groups:
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
                    if late or due:
                        self._save()
                        last_save, since = time.perf_counter(), 0
                    if late:
                        return
            finally:
                self.fleet.groups, self._resting = [], []
                outbox.drain()

    def _align(self) -> None:
        """Let those at a guard point rest while others stand between two; lay all out again when none does."""
        inside = self.fleet.books
        behind = [b for b in inside if not b.at_guard]
        if behind and len(behind) < len(inside):
            books = self.fleet.collect()
            self._resting += [b for b in books if b.at_guard]
            self.fleet.lay_out([b for b in books if not b.at_guard])
        elif not behind and self._resting:
            resting, self._resting = self._resting, []
            self.fleet.lay_out([*self.fleet.collect(), *resting])

    def _save(self) -> None:
        """Save every run that is under way, after the save before is on disk."""
        self._outbox.drain()
        for book, state in self.fleet.copies():
            self._outbox.submit(book.saver(to_device(state, "cpu")))
        for book in self._resting:
            self._outbox.submit(book.saver(to_device(book.own_state, "cpu")))

    def _end(self, book: Book, trip: Trip | None) -> None:
        """Let a book that holds its state leave for good."""
        self._outbox.submit(book.end(trip, to_device(book.own_state, "cpu")))

    # ---------------------------------------------------------------- who is in

    def _admit(self, waiting: deque[Book]) -> None:
        """Let waiting systems in where there is room; only while all others stand at guard points: blocks stay long."""
        if not waiting or not all(b.at_guard for b in self.fleet.books):
            return
        new: list[Book] = []
        queue = list(waiting)
        inside = [b.n_atoms for b in (*self.fleet.books, *self._resting)]
        for i in admit([(b.n_atoms, b.remaining) for b in queue], inside, self.capacity):
            book = queue[i]
            waiting.remove(book)
            book.open()
            if not book.finished:
                new.append(book)
        if new:
            self._enter(new, waiting)

    def _enter(self, new: list[Book], waiting: deque[Book]) -> None:
        """Give new systems their forces and join them to the fleet."""
        for book in new:
            self.fleet.prepare(book)
        refused = self.fleet.evaluate([b for b in new if not bool(torch.isfinite(b.own_state.energies).all())])
        for book, reason in refused.items():
            self._end(book, Trip(Outcome.BAD_GEOMETRY, reason))
        entering, left = self._fitting([b for b in new if b not in refused], [*self.fleet.books, *self._resting])
        waiting.extendleft(reversed(left))  # the forces took more memory than was thought
        for book in entering:
            if book.lacks_first_frame:
                book.begin_production(self.fleet.first_scalars(book))
        self.fleet.lay_out([*self.fleet.collect(), *entering])

    # ---------------------------------------------------------------- a block of steps

    def _block(self, waiting: deque[Book]) -> int:
        """Advance all systems to the next guard point of any of them; return the steps done."""
        fleet = self.fleet
        books = fleet.books
        count = min(b.until_guard() for b in books)
        fleet.begin(count)
        due = np.array([b.due(b.step, count) for b in books])
        samples = np.array([b.samples_due(b.step, count) for b in books])
        wanted = [bool(due[:, k].any() or samples[:, k].any()) for k in range(count)]
        frames: list[tuple[Tensor, ...]] = []
        limit = torch.tensor(
            [0.5 * b.stream.dof * BOLTZMANN_EV_PER_K * self._hottest(b) for b in books], dtype=torch.float64
        ).to(fleet.groups[0].state.energies)
        done, blown, full = 0, False, False
        cpu = time.process_time()
        start = clock = time.perf_counter()
        refused: dict[int, str] = {}
        for k in range(count):
            try:
                kinetic = fleet.step(k)
            except OutOfMemoryError:
                full = True
                break
            except RefusedError as refusal:
                refused = refusal.reasons
                break
            done += 1
            if wanted[k]:
                frames.append(fleet.frame(kinetic))
            if not bool(((kinetic <= limit) & fleet.finite()).all()):
                blown = True
                break
            if time.perf_counter() - clock > PATIENCE_S and done < count:
                clock = time.perf_counter()
                if self._should_stop(clock - start):
                    break
        self.steps_done += done
        self._account(done, time.process_time() - cpu)
        self._hand_out(books, frames, due[:, :done], samples[:, :done])
        if full:
            self._make_room(waiting)
        elif blown or refused:
            self._evict_blown(refused)
        return done

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
                    {name: values[rows, i] for name, values in zip(self.scalars, scalars, strict=True)},
                )
            chosen = np.flatnonzero(samples[i, taken])
            if len(chosen):
                book.sample(positions[chosen, atom : atom + book.n_atoms])
            atom += book.n_atoms

    def _account(self, done: int, seconds: float) -> None:
        atoms = sum(b.n_atoms for b in self.fleet.books)
        for group in self.fleet.groups:
            sums = None if group.cell_sum is None else group.cell_sum.double().cpu().numpy()
            for i, book in enumerate(group.books):
                if sums is not None:
                    book.cell_sum = sums[i].copy()
                    book.cell_count += int(book.cells_due(book.step, done).sum())
                book.step += done
                book.seconds += seconds * book.n_atoms / atoms

    # ---------------------------------------------------------------- after a block

    def _turn(self) -> None:
        """At a block's end: check guards, move systems to their next segment, let the finished and the known leave."""
        readings = self.fleet.read()
        trips: dict[Book, Trip] = {}
        turning: set[Book] = set()
        known: set[Book] = set()
        for book, positions, cell in self.fleet.geometries():
            if not book.at_guard:
                continue
            trip = book.guard(readings[book], positions, cell)
            if trip is not None:
                trips[book] = trip
            elif book.in_segment == book.segment.steps:
                turning.add(book)
            elif book.known_well_enough():
                known.add(book)
        if trips or turning or known:
            self._move_on(trips, turning, known)

    def _move_on(self, trips: dict[Book, Trip], turning: set[Book], known: set[Book]) -> None:
        stay = []
        changed = []
        for book in self.fleet.collect():
            if book in trips or book in known:
                self._end(book, trips.get(book))
            elif book in turning:
                was_npt = book.segment.kind == "npt"
                book.next_segment()
                if book.finished:
                    self._end(book, None)
                    continue
                self.fleet.prepare(book)
                if was_npt or method(book.segment.integrator).needs_stress:
                    changed.append(book)
                stay.append(book)
            else:
                stay.append(book)
        refused = self.fleet.evaluate(changed)
        for book, reason in refused.items():
            self._end(book, Trip(Outcome.EXPLODED, reason))
        stay = [b for b in stay if b not in refused]
        for book in stay:
            if book in turning and book.lacks_first_frame:
                book.begin_production(self.fleet.first_scalars(book))
        self.fleet.lay_out(stay)

    def _evict_blown(self, refused: dict[int, str]) -> None:
        """Between guard points: a system is no longer finite or far too hot, or the potential refused it."""
        trips: dict[Book, Trip] = {}
        for number, (book, reading) in enumerate(self.fleet.read().items()):
            if number in refused:
                trips[book] = Trip(Outcome.EXPLODED, f"the potential refuses the geometry: {refused[number]}")
            elif not np.isfinite([reading.temperature_K, reading.energy_eV]).all():
                trips[book] = NOT_FINITE
            elif reading.temperature_K > self._hottest(book):
                trips[book] = too_hot(reading.temperature_K, book.job.temperature_K, self._hottest(book))
        self._move_on(trips, set(), set())

    def _hottest(self, book: Book) -> float:
        return temperature_bound_K(self.settings.guards, book.job.temperature_K, book.stream.dof)

    def _make_room(self, waiting: deque[Book]) -> None:
        """After running out of memory: send half of the systems back to wait, where they stand, and lower the bound."""
        books = self.fleet.collect()
        if len(books) == 1:
            raise too_large(books[0])
        self.capacity.ran_out([b.n_atoms for b in books])
        inside, left = self._fitting(books, [])
        self._resting, more = self._fitting(self._resting, inside)
        for book in (*left, *more):
            self._outbox.submit(book.saver(to_device(book.own_state, "cpu")))  # it may wait long
        waiting.extendleft(reversed([*left, *more]))
        free_memory()
        self.fleet.lay_out(inside)

    def _fitting(self, books: Sequence[Book], beside: Sequence[Book]) -> tuple[list[Book], list[Book]]:
        """Part books, in order, into those that fit beside others and those that do not."""
        inside, left = [b.n_atoms for b in beside], []
        entering = []
        for book in books:
            if self.capacity.fits(inside, book.n_atoms):
                entering.append(book)
                inside.append(book.n_atoms)
            else:
                left.append(book)
        return entering, left
