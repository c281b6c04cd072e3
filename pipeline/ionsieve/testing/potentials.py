"""The contract of a potential, which every adapter passes, ours and other people's.

>>> from ionsieve.testing.potentials import validate_adapter
>>> report = validate_adapter(my_potential, elements=("Li", "O", "Cl"))   # doctest: +SKIP
>>> report.raise_if_failed()                                             # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.stress import voigt_6_to_full_3x3_stress

from ionsieve.errors import InputError
from ionsieve.potentials.base import Evaluation, Potential
from ionsieve.systems import Batch

__all__ = ["AdapterReport", "Check", "Tolerances", "example_systems", "validate_adapter"]


@dataclass(frozen=True)
class Tolerances:
    """What rounding is granted. The defaults suit float32 networks; `tight` suits float64."""

    energy_eV_per_atom: float = 2e-5
    force_eV_per_A: float = 1e-4
    stress_eV_per_A3: float = 2e-6
    difference_relative: float = 2e-2
    difference_step_A: float = 1e-2

    @classmethod
    def tight(cls) -> Tolerances:
        """For float64."""
        return cls(1e-9, 1e-8, 1e-9, 1e-4, 1e-4)


@dataclass(frozen=True)
class Check:
    """One clause of the contract: its name, the largest deviation found, and what is granted."""

    name: str
    deviation: float
    allowed: float
    passed: bool
    note: str = ""


@dataclass
class AdapterReport:
    """All clauses of one validation."""

    potential: str
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every clause holds."""
        return all(check.passed for check in self.checks)

    def raise_if_failed(self) -> None:
        """Raise AssertionError that lists the broken clauses."""
        broken = [c for c in self.checks if not c.passed]
        if broken:
            lines = [f"{c.name}: {c.deviation:.3g} > {c.allowed:.3g} {c.note}".rstrip() for c in broken]
            raise AssertionError(f"{self.potential} breaks the contract of potentials:\n" + "\n".join(lines))

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if c.passed else 'FAIL'} {c.name:<40s} {c.deviation:10.3g}  allowed {c.allowed:.3g} {c.note}"
            for c in self.checks
        )


def example_systems(elements: Sequence[str], *, seed: int = 1) -> list[Atoms]:
    """Return small rattled cells of the elements: a skewed primitive cell, a cubic and a larger one."""
    rng = np.random.default_rng(seed)
    names = [elements[k % len(elements)] for k in range(8)]
    cubic = Atoms(
        [*names[:5]],
        scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
        cell=[4.1, 4.1, 4.1],
        pbc=True,
    )
    skewed = bulk("NaCl", "rocksalt", a=5.4)
    skewed.symbols = names[:2]
    systems = [skewed, cubic, cubic * (2, 1, 2)]
    for atoms in systems:
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.02, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.06, atoms.positions.shape)
    return systems


def validate_adapter(
    potential: Potential,
    *,
    elements: Sequence[str] = ("Li", "O", "Cl"),
    systems: Sequence[Atoms] | None = None,
    tolerances: Tolerances | None = None,
    unknown_element: int | None = None,
    seed: int = 1,
) -> AdapterReport:
    """Check every clause of the contract.

    Parameters
    ----------
    potential
        The adapter.
    elements
        Symbols that it knows, for the example systems.
    systems
        Own examples, in place of `example_systems(elements)`.
    tolerances
        Default: `Tolerances()` for float32, `Tolerances.tight()` for float64.
    unknown_element
        An atomic number outside `potential.info.elements`; default: the first such number below 119.
    seed
        Of the rattling.

    Returns
    -------
    AdapterReport
        Call `raise_if_failed` on it.
    """
    granted = tolerances or (Tolerances.tight() if potential.info.dtype == "float64" else Tolerances())
    examples = [a.copy() for a in (systems or example_systems(elements, seed=seed))]
    run = _Run(potential, examples, granted, np.random.default_rng(seed))
    for clause in (
        run.shapes,
        run.inputs_unchanged,
        run.batch_equals_single,
        run.order_of_systems,
        run.equals_plain,
        run.repeatable,
        run.translation,
        run.wrapping,
        run.permutation,
        run.rotation,
        run.forces_are_gradient,
        run.stress_is_strain_derivative,
        run.changed_cell,
        run.single_atom,
        run.empty,
        lambda: run.unknown_element(unknown_element),
    ):
        clause()
    return run.report


def _batch(systems: Sequence[Atoms]) -> Batch:
    return Batch.from_atoms(systems)


class _Run:
    """One validation: the clauses as methods, the checks in `report`."""

    def __init__(
        self, potential: Potential, systems: list[Atoms], granted: Tolerances, rng: np.random.Generator
    ) -> None:
        self.potential, self.systems, self.granted, self.rng = potential, systems, granted, rng
        self.report = AdapterReport(potential.info.name)
        self.together = potential.evaluate(_batch(systems), stress=True)
        self.starts = np.concatenate([[0], np.cumsum([len(a) for a in systems])]).astype(int)

    def note(self, name: str, deviation: float, allowed: float, remark: str = "") -> None:
        good = bool(np.isfinite(deviation)) and deviation <= allowed
        self.report.checks.append(Check(name, float(deviation), allowed, good, remark))

    def compare(self, name: str, found: Evaluation, expected: Evaluation, counts: Sequence[int]) -> None:
        per_atom = (found.energies - expected.energies).abs().numpy() / np.maximum(counts, 1)
        self.note(f"{name}: energy", float(per_atom.max(initial=0)), self.granted.energy_eV_per_atom)
        deviation = (found.forces - expected.forces).abs()
        self.note(f"{name}: forces", float(deviation.max()) if deviation.numel() else 0.0, self.granted.force_eV_per_A)
        if found.stresses is not None and expected.stresses is not None:
            worst = float((found.stresses - expected.stresses).abs().max())
            self.note(f"{name}: stress", worst, self.granted.stress_eV_per_A3)

    def alone(self, atoms: Atoms, *, stress: bool = True) -> Evaluation:
        return self.potential.evaluate(_batch([atoms]), stress=stress)

    def part(self, index: int) -> Evaluation:
        rows = slice(self.starts[index], self.starts[index + 1])
        stresses = self.together.stresses
        assert stresses is not None
        return Evaluation(
            self.together.energies[index : index + 1], self.together.forces[rows], stresses[index : index + 1]
        )

    def shapes(self) -> None:
        n_systems, n_atoms = len(self.systems), int(self.starts[-1])
        result = self.together
        good = (
            tuple(result.energies.shape) == (n_systems,)
            and tuple(result.forces.shape) == (n_atoms, 3)
            and result.stresses is not None
            and tuple(result.stresses.shape) == (n_systems, 3, 3)
            and result.energies.dtype == result.forces.dtype == torch.float64
            and not result.forces.requires_grad
        )
        self.note("shapes, types, no gradient", 0.0 if good else 1.0, 0.0)
        plain = self.potential.evaluate(_batch(self.systems))
        self.note("no stress unless asked", 0.0 if plain.stresses is None else 1.0, 0.0)
        self.compare("with and without stress", plain, result, [len(a) for a in self.systems])

    def inputs_unchanged(self) -> None:
        batch = _batch(self.systems)
        copies = [t.clone() for t in (batch.positions, batch.cells, batch.numbers, batch.system_index)]
        self.potential.evaluate(batch, stress=True)
        now = (batch.positions, batch.cells, batch.numbers, batch.system_index)
        changed = sum(not torch.equal(a, b) for a, b in zip(copies, now, strict=True))
        self.note("inputs unchanged", float(changed), 0.0)

    def batch_equals_single(self) -> None:
        for index, atoms in enumerate(self.systems):
            self.compare(f"batch equals one by one [{index}]", self.part(index), self.alone(atoms), [len(atoms)])

    def order_of_systems(self) -> None:
        reverse = self.potential.evaluate(_batch(self.systems[::-1]), stress=True)
        energies = reverse.energies.flip(0)
        counts = [len(a) for a in self.systems]
        worst = float(((energies - self.together.energies).abs().numpy() / counts).max())
        self.note("order of systems: energy", worst, self.granted.energy_eV_per_atom)

    def equals_plain(self) -> None:
        calculator = self.potential.as_ase()
        for index, atoms in enumerate(self.systems):
            copy = atoms.copy()
            copy.calc = calculator
            expected = Evaluation(
                torch.tensor([copy.get_potential_energy()], dtype=torch.float64),
                torch.as_tensor(np.asarray(copy.get_forces()), dtype=torch.float64),
                torch.as_tensor(voigt_6_to_full_3x3_stress(copy.get_stress()), dtype=torch.float64)[None],
            )
            self.compare(f"equals its ASE calculator [{index}]", self.part(index), expected, [len(atoms)])

    def repeatable(self) -> None:
        moved = [a.copy() for a in self.systems]
        for atoms in moved:  # move by less than a skin, come back: a kept list must not show
            atoms.positions += self.rng.normal(0, 0.03, atoms.positions.shape)
        self.potential.evaluate(_batch(moved))
        again = self.potential.evaluate(_batch(self.systems), stress=True)
        self.compare("no memory of earlier calls", again, self.together, [len(a) for a in self.systems])

    def transformed(self, name: str, change: Callable[[Atoms], None]) -> None:
        changed = [a.copy() for a in self.systems]
        for atoms in changed:
            change(atoms)
        result = self.potential.evaluate(_batch(changed), stress=True)
        self.compare(name, result, self.together, [len(a) for a in self.systems])

    def translation(self) -> None:
        def change(atoms: Atoms) -> None:
            atoms.positions += np.array([0.37, -1.21, 2.05])

        self.transformed("translation", change)

    def wrapping(self) -> None:
        def change(atoms: Atoms) -> None:
            atoms.positions += self.rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array

        self.transformed("wrapped equals unwrapped", change)

    def permutation(self) -> None:
        atoms = self.systems[-1]
        order = self.rng.permutation(len(atoms))
        result = self.alone(atoms[order])
        expected = self.part(len(self.systems) - 1)
        self.compare(
            "permutation",
            result,
            Evaluation(expected.energies, expected.forces[torch.from_numpy(order)], expected.stresses),
            [len(atoms)],
        )

    def rotation(self) -> None:
        turn, _ = np.linalg.qr(self.rng.normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        index = len(self.systems) - 1
        atoms = self.systems[index].copy()
        atoms.set_cell(atoms.cell.array @ turn.T)
        atoms.positions = atoms.positions @ turn.T
        expected, matrix = self.part(index), torch.from_numpy(turn)
        assert expected.stresses is not None
        self.compare(
            "rotation",
            self.alone(atoms),
            Evaluation(expected.energies, expected.forces @ matrix.T, matrix @ expected.stresses @ matrix.T),
            [len(atoms)],
        )

    def forces_are_gradient(self) -> None:
        """Central differences along random directions, so that one number tests all components."""
        step = self.granted.difference_step_A
        for index, atoms in enumerate(self.systems):
            direction = self.rng.normal(size=atoms.positions.shape)
            direction /= np.linalg.norm(direction)
            slopes = []
            for h in (step, 0.5 * step):
                energies = []
                for sign in (1.0, -1.0):
                    copy = atoms.copy()
                    copy.positions += sign * h * direction
                    energies.append(float(self.alone(copy, stress=False).energies[0]))
                slopes.append((energies[0] - energies[1]) / (2 * h))
            slope = (4 * slopes[1] - slopes[0]) / 3  # Richardson
            expected = -float((self.part(index).forces.numpy() * direction).sum())
            scale = max(1.0, float(self.part(index).forces.abs().max()))
            self.note(
                f"forces are the gradient [{index}]", abs(slope - expected) / scale, self.granted.difference_relative
            )

    def stress_is_strain_derivative(self) -> None:
        step = self.granted.difference_step_A * 0.2
        for index, atoms in enumerate(self.systems):
            shape = self.rng.normal(size=(3, 3))
            shape = 0.5 * (shape + shape.T)
            shape /= np.linalg.norm(shape)
            slopes = []
            for h in (step, 0.5 * step):
                energies = []
                for sign in (1.0, -1.0):
                    copy = atoms.copy()
                    copy.set_cell(copy.cell.array @ (np.eye(3) + sign * h * shape), scale_atoms=True)
                    energies.append(float(self.alone(copy, stress=False).energies[0]))
                slopes.append((energies[0] - energies[1]) / (2 * h))
            slope = (4 * slopes[1] - slopes[0]) / 3
            stresses = self.part(index).stresses
            assert stresses is not None
            expected = float((stresses[0].numpy() * shape).sum()) * atoms.get_volume()
            scale = max(1.0, float(stresses.abs().max()) * atoms.get_volume())
            self.note(
                f"stress is the strain derivative [{index}]",
                abs(slope - expected) / scale,
                self.granted.difference_relative,
            )

    def changed_cell(self) -> None:
        """A small change of the cell between two calls must not leave an old neighbour list in use."""
        index = len(self.systems) - 1
        atoms = self.systems[index].copy()
        for factor in (1.004, 0.97, 1.05):
            self.alone(atoms)
            atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
        found = self.alone(atoms)
        copy = atoms.copy()
        copy.calc = self.potential.as_ase()
        worst = float(np.abs(found.forces.numpy() - copy.get_forces()).max())
        self.note("changed cell: forces", worst, self.granted.force_eV_per_A)

    def single_atom(self) -> None:
        atoms = Atoms([self.systems[0].symbols[0]], positions=[(0.2, 0.1, 0.3)], cell=[3.1, 3.2, 3.3], pbc=True)
        result = self.potential.evaluate(_batch([atoms, self.systems[0]]), stress=True)
        finite = bool(torch.isfinite(result.forces).all()) and bool(torch.isfinite(result.energies).all())
        self.note("single atom: finite", 0.0 if finite else 1.0, 0.0)
        self.note("single atom: no force", float(result.forces[0].abs().max()), self.granted.force_eV_per_A)
        far = Atoms([self.systems[0].symbols[0]], positions=[(0, 0, 0)], cell=[40.0, 40.0, 40.0], pbc=True)
        result = self.potential.evaluate(_batch([far]), stress=True)
        finite = bool(torch.isfinite(result.energies).all()) and bool(torch.isfinite(result.forces).all())
        self.note("isolated atom: finite", 0.0 if finite else 1.0, 0.0)

    def empty(self) -> None:
        result = self.potential.evaluate(_batch([]), stress=True)
        good = tuple(result.energies.shape) == (0,) and tuple(result.forces.shape) == (0, 3)
        self.note("empty batch", 0.0 if good else 1.0, 0.0)
        hole = Atoms(cell=[5.0, 5.0, 5.0], pbc=True)
        result = self.potential.evaluate(_batch([hole, self.systems[0]]), stress=True)
        expected = self.part(0)
        deviation = float((result.forces - expected.forces).abs().max())
        self.note("cell without atoms: energy", abs(float(result.energies[0])), 0.0)
        self.note("cell without atoms: the others", deviation, self.granted.force_eV_per_A)

    def unknown_element(self, number: int | None) -> None:
        unknown = number or next((z for z in range(1, 119) if z not in self.potential.info.elements), None)
        if unknown is None:
            self.note("unknown element refused", 0.0, 0.0, "(the potential claims all elements)")
            return
        atoms = self.systems[0].copy()
        atoms.numbers[0] = unknown
        try:
            self.alone(atoms)
        except InputError:
            self.note("unknown element refused", 0.0, 0.0)
        else:
            self.note("unknown element refused", 1.0, 0.0, f"(Z = {unknown})")
