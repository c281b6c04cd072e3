"""Many systems as one batch: flat arrays with a system index.

Conventions: rows of a cell are lattice vectors, Å; positions Cartesian, Å, never wrapped; atoms of one system are
contiguous and systems ascend, so `system_index` is sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """S periodic systems with N atoms in all.

    Attributes
    ----------
    positions
        (N, 3), Å.
    cells
        (S, 3, 3), Å, rows are lattice vectors.
    numbers
        (N,) int64, atomic numbers.
    system_index
        (N,) int64, ascending.
    """

    positions: Tensor
    cells: Tensor
    numbers: Tensor
    system_index: Tensor

    @property
    def n_systems(self) -> int:
        """Number of systems S."""
        return int(self.cells.shape[0])

    @property
    def n_atoms(self) -> int:
        """Number of atoms N."""
        return int(self.positions.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.positions.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of positions and cells."""
        return self.positions.dtype

    def counts(self) -> Tensor:
        """(S,) int64, atoms of each system."""
        return torch.bincount(self.system_index, minlength=self.n_systems)

    def sum_by_system(self, values: Tensor) -> Tensor:
        """Sum per-atom values (N, ...) to per-system values (S, ...)."""
        out = values.new_zeros((self.n_systems, *values.shape[1:]))
        return out.index_add_(0, self.system_index, values)

    @classmethod
    def from_atoms(
        cls, systems: Sequence[Atoms], *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64
    ) -> Batch:
        """Stack ASE systems (periodic in all directions)."""

        def stack(rows: Iterable[object], kind: torch.dtype, empty: tuple[int, ...]) -> Tensor:
            parts = [torch.as_tensor(r, dtype=kind) for r in rows]
            return (torch.cat(parts) if parts else torch.zeros(empty, dtype=kind)).to(device)

        counts = [len(a) for a in systems]
        return cls(
            positions=stack((a.positions for a in systems), dtype, (0, 3)),
            cells=stack((a.cell.array[None] for a in systems), dtype, (0, 3, 3)),
            numbers=stack((a.numbers for a in systems), torch.int64, (0,)),
            system_index=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.int64)).to(
                device
            ),
        )
