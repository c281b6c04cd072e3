"""The ASE engine: one system at a time with ASE's own integrators. The reference that the batch engine is compared
with.

Same jobs, same files, same guards. Random numbers are keyed by the run and the guard point at which a block begins,
so that a restart continues with the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ionsieve.dynamics.ase_bridge import BatchCalculator
from ionsieve.dynamics.book import Book
from ionsieve.dynamics.guards import Reading, Trip
from ionsieve.dynamics.integrators import method
from ionsieve.dynamics.settings import DynamicsSettings
from ionsieve.dynamics.start import degrees_of_freedom
from ionsieve.dynamics.state import MDState
from ionsieve.errors import GeometryError, InputError
from ionsieve.potentials.base import Potential
from ionsieve.rng import generator
from ionsieve.units import BOLTZMANN_EV_PER_K
from ionsieve.verdicts import Outcome

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["ASEEngine"]


class ASEEngine:
    """Advances books one by one with ASE."""

    def __init__(self, potential: Potential, settings: DynamicsSettings) -> None:
        if settings.integrator not in ("csvr", "nose_hoover", "baoab", "nve"):
            raise InputError(
                f"the ase engine has no {settings.integrator!r}", expected="csvr, nose_hoover, baoab or nve"
            )
        self.potential, self.settings = potential, settings
        committee = ("force_disagreement",) if potential.info.members > 1 else ()
        self.scalars = ("temperature", "potential_energy", *committee)

    def run(self, books: Sequence[Book], should_stop: Callable[[float], bool]) -> None:
        """Advance each book to its end, or until `should_stop(seconds of a block)` at a guard point."""
        longest = 0.0
        for book in books:
            if any(s.kind == "npt" for s in book.segments):
                raise InputError("the ase engine runs no NPT segment", key=book.job.run_id, remedy="engine: batch")
            book.open()
            if book.finished:
                continue
            longest, late = self._run(book, should_stop, longest)
            if late:
                return

    def _run(self, book: Book, should_stop: Callable[[float], bool], longest: float) -> tuple[float, bool]:
        from ase import units

        atoms = book.job.atoms.copy()
        assert book.state is not None
        atoms.positions = book.state.positions.numpy()
        atoms.cell[:] = book.state.cells[0].numpy()
        atoms.set_velocities(book.state.velocities.numpy() / units.fs)
        atoms.calc = BatchCalculator(self.potential)
        bath = {k: v.numpy()[0].copy() for k, v in book.state.bath.items()}
        if "momenta" in bath:  # ASE's own units: exact, where velocities would be rounded on the way
            atoms.set_momenta(bath["momenta"])
        try:
            atoms.get_forces()
        except GeometryError as error:
            book.end(Trip(Outcome.BAD_GEOMETRY, str(error)), book.state)()
            return longest, False
        last_save = time.perf_counter()
        since = 0
        while not book.finished:
            random = generator(*book.job.seed_names, "ase", step=book.step)
            dynamics = self._integrator(book, atoms, random)
            self._restore(dynamics, bath)
            if book.lacks_first_frame:
                book.state = self._state(book, atoms, bath)
                book.begin_production(self._scalars(atoms, book))
            while True:
                begun, cpu = time.perf_counter(), time.process_time()
                fresh = generator(*book.job.seed_names, "ase", step=book.step)
                random.bit_generator.state = fresh.bit_generator.state
                count = book.until_guard()
                due, samples = book.due(book.step, count), book.samples_due(book.step, count)
                frames, refusal, done = [], "", 0
                good = self._state(book, atoms, bath)  # after a refusal the calculator has no forces
                try:
                    for k in range(count):
                        dynamics.run(1)
                        done += 1
                        if samples[k]:
                            book.sample(atoms.positions[None])
                        if due[k]:
                            frames.append((book.step + k + 1, atoms.positions.copy(), self._scalars(atoms, book)))
                except GeometryError as error:
                    refusal = f"the potential refuses the geometry: {error}"
                book.step += done
                book.seconds += time.process_time() - cpu
                longest, since = max(longest, time.perf_counter() - begun), since + done
                for step, positions, scalars in frames:
                    book.record(
                        np.array([step]),
                        positions[None].astype(np.float32),
                        atoms.cell.array[None],
                        {name: np.array([value]) for name, value in scalars.items()},
                    )
                if refusal:
                    book.end(Trip(Outcome.EXPLODED, refusal), good)()
                    return longest, False
                bath = {**self._bath(dynamics), "momenta": atoms.get_momenta()}
                trip = self._guard(book, atoms)
                if trip is not None:
                    book.end(trip, self._state(book, atoms, bath))()
                    return longest, False
                if book.in_segment == book.segment.steps:
                    break
                if book.known_well_enough():
                    book.end(None, self._state(book, atoms, bath))()
                    return longest, False
                late = should_stop(longest)
                elapsed = time.perf_counter() - last_save
                if late or since >= self.settings.slice_steps or elapsed >= self.settings.slice_s:
                    book.saver(self._state(book, atoms, bath))()
                    last_save, since = time.perf_counter(), 0
                if late:
                    return longest, True
            book.state = self._state(book, atoms, bath)
            book.next_segment()
        book.end(None, self._state(book, atoms, bath))()
        return longest, False

    def _integrator(self, book: Book, atoms: Atoms, random: np.random.Generator) -> Any:
        from ase import units
        from ase.constraints import FixCom
        from ase.md.bussi import Bussi
        from ase.md.langevinbaoab import LangevinBAOAB
        from ase.md.nose_hoover_chain import NoseHooverChainNVT
        from ase.md.verlet import VelocityVerlet

        s, dt, T = self.settings, book.dt_fs * units.fs, book.job.temperature_K
        name = book.segment.integrator
        if method(name).keeps_momentum:
            atoms.set_constraint(FixCom())  # so that ASE too counts 3N - 3 degrees of freedom
        else:
            atoms.set_constraint()
        if name == "csvr":
            return Bussi(atoms, dt, temperature_K=T, taut=s.tau_fs * units.fs, rng=random)
        if name == "nose_hoover":
            # ASE's chain counts 3N whatever is constrained: this temperature gives the right mean kinetic energy
            T *= degrees_of_freedom(len(atoms), keeps_momentum=True) / (3 * len(atoms))
            return NoseHooverChainNVT(atoms, dt, temperature_K=T, tdamp=s.tau_fs * units.fs, tchain=s.chain_length)
        if name == "baoab":
            tau = 1000.0 * units.fs / s.friction_per_ps
            return LangevinBAOAB(atoms, dt, temperature_K=T, T_tau=tau, rng=random)
        return VelocityVerlet(atoms, dt)

    @staticmethod
    def _bath(dynamics: Any) -> dict[str, NDArray[np.float64]]:
        """Return the chain variables of a Nosé-Hoover integrator, which ASE keeps to itself."""
        chain = getattr(dynamics, "_thermostat", None)
        return {} if chain is None else {"eta": np.array(chain._eta), "p_eta": np.array(chain._p_eta)}

    @staticmethod
    def _restore(dynamics: Any, bath: dict[str, NDArray[np.float64]]) -> None:
        chain = getattr(dynamics, "_thermostat", None)
        if chain is not None and "eta" in bath:
            chain._eta, chain._p_eta = bath["eta"].copy(), bath["p_eta"].copy()

    @staticmethod
    def _kinetic(atoms: Atoms) -> float:
        return float(atoms.get_kinetic_energy())

    def _temperature(self, atoms: Atoms, book: Book) -> float:
        assert book.state is not None
        return 2.0 * self._kinetic(atoms) / (float(book.state.dof[0]) * BOLTZMANN_EV_PER_K)

    def _scalars(self, atoms: Atoms, book: Book) -> dict[str, float]:
        scalars = {
            "temperature": self._temperature(atoms, book),
            "potential_energy": float(atoms.get_potential_energy()),
        }
        spread = atoms.calc.force_disagreement
        if spread is not None:
            scalars["force_disagreement"] = float(np.sqrt((spread * spread).mean()))
        return scalars

    def _guard(self, book: Book, atoms: Atoms) -> Trip | None:
        forces, spread = atoms.get_forces(), atoms.calc.force_disagreement
        reading = Reading(
            self._temperature(atoms, book),
            float(atoms.get_potential_energy()),
            float(np.sqrt((forces * forces).sum(axis=1)).max()),
            None if spread is None else float(spread.max()),
        )
        return book.guard(reading, atoms.positions, atoms.cell.array)

    @staticmethod
    def _state(book: Book, atoms: Atoms, bath: dict[str, NDArray[np.float64]]) -> MDState:
        from ase import units

        assert book.state is not None

        def tensor(values: object) -> torch.Tensor:
            return torch.from_numpy(np.array(values, dtype=np.float64))

        return replace(
            book.state,
            positions=tensor(atoms.positions),
            velocities=tensor(atoms.get_velocities() * units.fs),
            forces=tensor(atoms.get_forces()),
            energies=tensor([atoms.get_potential_energy()]),
            stresses=torch.zeros((1, 3, 3), dtype=torch.float64),
            cells=tensor(atoms.cell.array)[None],
            bath={k: tensor(v)[None] for k, v in bath.items()},
        )
