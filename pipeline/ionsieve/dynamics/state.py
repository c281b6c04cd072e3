"""The state of many systems as flat tensors, and what steers them.

`MDState` is all that survives a step: a checkpoint is its fields. `Control` is what the state is steered with: it is
made from the settings and never saved. Neither holds a callable, a generator or a file.

Arithmetic on the CPU is arranged so that a system's numbers do not depend on its neighbours in the batch: sums over
atoms run in order (`index_add_`), no fused multiply-add is asked for, and transcendental functions see one element
at a time.

Units: Å, Å/fs, eV, u, fs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor

from ionsieve.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2, GPA_PER_EV_PER_A3

__all__ = ["Control", "MDState", "Target", "kinetic_eV", "merge", "split", "temperature_K", "volumes_A3"]

PER_ATOM = ("positions", "velocities", "forces", "numbers", "masses")
PER_SYSTEM = ("cells", "energies", "stresses", "dof")


@dataclass(frozen=True)
class MDState:
    """S systems with N atoms in all.

    Attributes
    ----------
    positions, velocities, forces
        (N, 3), Å unwrapped, Å/fs, eV/Å.
    numbers, masses
        (N,) int64; (N, 1), u.
    system_index
        (N,) int64, ascending.
    cells, stresses
        (S, 3, 3), Å (rows are vectors), eV/Å³ (zero where no method asked for it).
    energies
        (S,), eV.
    dof
        (S,), degrees of freedom of the kinetic energy: 3N - 3 where the total momentum is kept at zero.
    bath
        (S, ...) per name: what the methods carry (heat given, chain variables).
    """

    positions: Tensor
    velocities: Tensor
    forces: Tensor
    numbers: Tensor
    masses: Tensor
    system_index: Tensor
    cells: Tensor
    energies: Tensor
    stresses: Tensor
    dof: Tensor
    bath: dict[str, Tensor] = field(default_factory=dict)

    @property
    def n_systems(self) -> int:
        """Number of systems S."""
        return int(self.cells.shape[0])

    @property
    def counts(self) -> list[int]:
        """Atoms of each system."""
        return torch.bincount(self.system_index, minlength=self.n_systems).tolist()


@dataclass(frozen=True)
class Target:
    """What one system is steered to: plain numbers."""

    temperature_K: float
    dt_fs: float
    tau_fs: float
    friction_per_ps: float
    pressure_GPa: float
    barostat_tau_fs: float
    compressibility_per_GPa: float
    chain_length: int = 3


@dataclass(frozen=True)
class Control:
    """The targets of S systems as tensors, with the per-atom products that every step needs.

    Attributes
    ----------
    dt_fs, kT_eV, tau_fs, friction_per_fs, pressure, barostat_tau_fs, compressibility
        (S,); pressure in eV/Å³, compressibility in Å³/eV.
    dt_atoms, half_kick
        (N, 1): time step, fs; dt/2m in Å/fs per eV/Å.
    index, index3
        (N,) and (3N,): system of each atom, and of each component.
    counts
        (S,): atoms of each system.
    extra
        What a method prepared from the numbers above.
    """

    dt_fs: Tensor
    kT_eV: Tensor
    tau_fs: Tensor
    friction_per_fs: Tensor
    pressure: Tensor
    barostat_tau_fs: Tensor
    compressibility: Tensor
    dt_atoms: Tensor
    half_kick: Tensor
    half_mass: Tensor
    index: Tensor
    index3: Tensor
    counts: Tensor
    chain_length: int
    extra: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def build(cls, state: MDState, targets: Sequence[Target]) -> Control:
        """Lay the targets of the systems of `state` out as tensors on its device."""
        like = state.positions
        index = state.system_index

        def column(get: Callable[[Target], float]) -> Tensor:
            return torch.tensor([get(t) for t in targets], dtype=like.dtype).to(like.device)

        dt = column(lambda t: t.dt_fs)
        dt_atoms = dt[index][:, None]
        return cls(
            dt_fs=dt,
            kT_eV=column(lambda t: BOLTZMANN_EV_PER_K * t.temperature_K),
            tau_fs=column(lambda t: t.tau_fs),
            friction_per_fs=column(lambda t: 1e-3 * t.friction_per_ps),
            pressure=column(lambda t: t.pressure_GPa / GPA_PER_EV_PER_A3),
            barostat_tau_fs=column(lambda t: t.barostat_tau_fs),
            compressibility=column(lambda t: t.compressibility_per_GPa * GPA_PER_EV_PER_A3),
            dt_atoms=dt_atoms,
            half_kick=dt_atoms * (0.5 * ACCELERATION_A_PER_FS2) / state.masses,
            half_mass=(0.5 * EV_PER_U_A2_PER_FS2) * state.masses,
            index=index,
            index3=index.repeat_interleave(3),
            counts=torch.bincount(index, minlength=state.n_systems).to(like.dtype),
            chain_length=max((t.chain_length for t in targets), default=3),
        )


def kinetic_eV(state: MDState, control: Control) -> Tensor:
    """Kinetic energy of each system, (S,), eV; summed over the atoms in their order."""
    v = state.velocities
    out = torch.zeros_like(state.energies)
    return out.index_add_(0, control.index3, (control.half_mass * v * v).reshape(-1))


def temperature_K(kinetic: Tensor, dof: Tensor) -> Tensor:
    """Kinetic temperature of each system, (S,), K."""
    return 2.0 * kinetic / (dof * BOLTZMANN_EV_PER_K)


def volumes_A3(cells: Tensor) -> Tensor:
    """Volume of each cell, (S,), Å³."""
    a, b, c = cells[:, 0], cells[:, 1], cells[:, 2]
    x = a[:, 0] * (b[:, 1] * c[:, 2] - b[:, 2] * c[:, 1])
    y = a[:, 1] * (b[:, 2] * c[:, 0] - b[:, 0] * c[:, 2])
    z = a[:, 2] * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    return (x + y + z).abs()


def elementwise(function: Callable[[np.ndarray], np.ndarray], values: Tensor) -> Tensor:
    """Apply a NumPy function to a small tensor so that an element's result does not depend on its place.

    torch's vectorised loops may round the remainder of an array differently from its body; NumPy's treat all
    elements of a contiguous array alike (held by a test). Elsewhere than on the CPU torch's function of the same
    name is used.
    """
    if values.device.type != "cpu":
        result: Tensor = getattr(torch, function.__name__)(values)
        return result
    return torch.from_numpy(np.asarray(function(values.contiguous().numpy())))


def split(state: MDState) -> list[MDState]:
    """Cut a state into its systems, each with its own copy of the data."""
    counts = state.counts
    atoms = {name: getattr(state, name).split(counts) for name in PER_ATOM}
    parts = []
    for i, count in enumerate(counts):
        parts.append(
            MDState(
                **{name: atoms[name][i].clone() for name in PER_ATOM},
                **{name: getattr(state, name)[i : i + 1].clone() for name in PER_SYSTEM},
                system_index=torch.zeros(count, dtype=torch.int64, device=state.positions.device),
                bath={name: value[i : i + 1].clone() for name, value in state.bath.items()},
            )
        )
    return parts


def merge(states: Sequence[MDState]) -> MDState:
    """Join states to one. All must carry the same bath."""
    if len(states) == 1:
        return states[0]
    parts: dict[str, Tensor] = {
        name: torch.cat([getattr(s, name) for s in states]) for name in (*PER_ATOM, *PER_SYSTEM)
    }
    offsets = np.cumsum([0, *(s.n_systems for s in states[:-1])])
    index = torch.cat([s.system_index + int(o) for s, o in zip(states, offsets, strict=True)])
    bath = {name: torch.cat([s.bath[name] for s in states]) for name in states[0].bath}
    return MDState(**parts, system_index=index, bath=bath)


def to_device(state: MDState, device: str | torch.device) -> MDState:
    """Move all tensors."""
    moved = {f.name: getattr(state, f.name).to(device) for f in fields(state) if f.name != "bath"}
    return replace(state, **moved, bath={k: v.to(device) for k, v in state.bath.items()})
