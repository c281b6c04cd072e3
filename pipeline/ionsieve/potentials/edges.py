"""What the networks share: atom energies from edge vectors; forces, virial and batching from their gradient.

With E a function of the edge vectors v_e = r_j - r_i + shift alone, g_e = dE/dv_e gives
``F_i = sum_(e leaving i) g_e - sum_(e arriving at i) g_e`` and the stress ``(1/V) sum_e g_e (x) v_e``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ionsieve.geometry.neighbours import NeighbourStatistics, Pairs, VerletList
from ionsieve.geometry.seen import Seen
from ionsieve.potentials.base import Evaluation, PotentialInfo
from ionsieve.potentials.checks import check_elements, check_stress_cells
from ionsieve.systems import Batch

__all__ = ["EdgePotential"]


class EdgePotential(ABC):
    """A network whose energy depends on positions and cell only through the vectors of its edges.

    Parameters
    ----------
    info
        Identity; its dtype and device are those of the network, its cut-off that of the edges.
    skin_A
        Of the neighbour list.

    Attributes
    ----------
    one_by_one
        Whether systems are worked through one after another. True on a CPU, where a batch gains nothing: small
        pieces stay in the caches, and every system's numbers are the same, bit by bit, whatever its batch mates.
    """

    def __init__(self, info: PotentialInfo, skin_A: float) -> None:
        self._info = info
        self._neighbours = VerletList(info.cutoff_A, skin_A)
        self._dtype: torch.dtype = getattr(torch, info.dtype)
        self._device = torch.device(info.device)
        self.one_by_one = self._device.type == "cpu"
        self._layout = Seen()
        self._present: tuple[int, Tensor] = (0, torch.zeros(0, dtype=torch.int64))

    @property
    def info(self) -> PotentialInfo:
        """Identity and range."""
        return self._info

    @property
    def neighbour_statistics(self) -> NeighbourStatistics:
        """How often the neighbour lists were rebuilt."""
        return self._neighbours.statistics

    @abstractmethod
    def atom_energies(
        self, numbers: Tensor, system_index: Tensor, n_systems: int, first: Tensor, second: Tensor, vectors: Tensor
    ) -> Tensor:
        """Return the energy of each atom (N,), eV, differentiable in `vectors`.

        Parameters
        ----------
        numbers, system_index
            (N,) atoms; no system is empty.
        n_systems
            Number of systems.
        first, second, vectors
            (U,), (U,), (U, 3): undirected edges, Å from first to second. U may be zero.
        """

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """See `Potential.evaluate`."""
        check_elements(batch.numbers, self.info)
        positions, cells = batch.positions.to(self._device), batch.cells.to(self._device)
        numbers, system_index = batch.numbers.to(self._device), batch.system_index.to(self._device)
        volumes = check_stress_cells(cells) if stress else None
        pairs = self._neighbours.pairs(positions, cells, numbers, system_index)
        if self.one_by_one:
            per_atom, along = self._each(numbers, system_index, batch.n_systems, pairs)
        else:
            per_atom, along = self._differentiate(
                numbers, system_index, batch.n_systems, pairs.first, pairs.second, pairs.vectors
            )
        along, per_atom = along.to(positions.dtype), per_atom.to(positions.dtype)
        energies = per_atom.new_zeros(batch.n_systems).index_add_(0, system_index, per_atom)
        forces = torch.zeros_like(positions).index_add_(0, pairs.first, along).index_add_(0, pairs.second, -along)
        stresses = None
        if volumes is not None:
            virial = along.unsqueeze(2) * pairs.vectors.unsqueeze(1)
            stresses = virial.new_zeros((batch.n_systems, 3, 3)).index_add_(0, pairs.system, virial)
            stresses = stresses / volumes[:, None, None]
            stresses = (0.5 * (stresses + stresses.transpose(1, 2))).to(batch.device)
        return Evaluation(energies.to(batch.device), forces.to(batch.device), stresses)

    def _each(self, numbers: Tensor, system_index: Tensor, n_systems: int, pairs: Pairs) -> tuple[Tensor, Tensor]:
        atoms = torch.bincount(system_index, minlength=n_systems).tolist()
        edges = torch.bincount(pairs.system, minlength=n_systems).tolist()
        energies, gradients = [pairs.distances.new_zeros(0)], [pairs.vectors[:0]]
        atom, edge = 0, 0
        for n_atoms, n_edges in zip(atoms, edges, strict=True):
            rows, own = slice(edge, edge + n_edges), slice(atom, atom + n_atoms)
            energy, gradient = self._differentiate(
                numbers[own],
                torch.zeros_like(numbers[own]),
                1,
                pairs.first[rows] - atom,
                pairs.second[rows] - atom,
                pairs.vectors[rows],
            )
            energies.append(energy.to(pairs.vectors.dtype))
            gradients.append(gradient.to(pairs.vectors.dtype))
            atom, edge = atom + n_atoms, edge + n_edges
        return torch.cat(energies), torch.cat(gradients)

    def _differentiate(
        self, numbers: Tensor, system_index: Tensor, n_systems: int, first: Tensor, second: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return atom energies (N,) and dE/dvectors (U, 3) in the network's type."""
        if numbers.shape[0] == 0:
            return vectors.new_zeros(0), torch.zeros_like(vectors)
        if n_systems > 1:  # networks are spared systems without atoms
            if not self._layout(system_index):
                present, inverse = torch.unique_consecutive(system_index, return_inverse=True)
                self._present = (int(present.shape[0]), inverse)
                self._layout.note(system_index)
            n_systems, system_index = self._present
        with torch.enable_grad():
            leaf = vectors.detach().to(self._dtype, copy=True).requires_grad_()
            energies = self.atom_energies(numbers, system_index, n_systems, first, second, leaf)
            if leaf.shape[0] == 0:
                return energies.detach(), torch.zeros_like(leaf)
            (gradient,) = torch.autograd.grad(energies.sum(), leaf)
        return energies.detach(), gradient
