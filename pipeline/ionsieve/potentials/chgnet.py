"""Adapter of CHGNet (0.3.0, r2SCAN, or a fine-tuned file): batched, with a Verlet list and our own graph."""

from __future__ import annotations

import contextlib
import io
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ionsieve.geometry.neighbours import NeighbourStatistics, Pairs, VerletList
from ionsieve.potentials.base import Evaluation, PotentialInfo
from ionsieve.potentials.checks import check_elements, check_stress_cells
from ionsieve.potentials.chgnet_network import CHGNetNetwork, Edges, line_graph
from ionsieve.potentials.models import ModelCard, digest
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["CHGNetPotential", "load_chgnet"]


def load_chgnet(path: Path, version_name: str = "") -> Any:
    """Load the package's own model from a file, quietly, on the CPU. The caller has checked its digest."""
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints at construction
        from chgnet.model import CHGNet

        model = CHGNet.from_file(str(path), mlp_out_bias=False, version=version_name or None)
    model.requires_grad_(False)
    return model.eval()


class CHGNetPotential:
    """CHGNet for many systems in one forward pass.

    Forces equal the package's own calculator to 1e-4 eV/Å in float32 (tests/contracts). Results do not depend on the
    age of the neighbour list; with batch mates they change by rounding, since matrix products of other sizes round
    differently.

    Parameters
    ----------
    path
        Weights file, already trusted.
    card
        What is known of it, or None for a user's own file.
    dtype, device, skin_A
        As in `PotentialSettings`.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard | None = None,
        *,
        dtype: str = "float32",
        device: str = "cpu",
        skin_A: float = 0.5,
    ) -> None:
        self._path = path
        self._version_name = card.name.removeprefix("chgnet-") if card else ""
        self._dtype = getattr(torch, dtype)
        model = load_chgnet(path, self._version_name)
        self._network = CHGNetNetwork(model, dtype=self._dtype, device=device)
        self._neighbours = VerletList(self._network.cutoff_A, skin_A)
        self._info = PotentialInfo(
            name=card.name if card else f"chgnet:{path.name}",
            sha256=digest(path),
            elements=card.elements if card else frozenset(range(1, 95)),
            cutoff_A=self._network.cutoff_A,
            dtype=dtype,
            device=device,
            version=f"chgnet {version('chgnet')}",
            licence=card.licence if card else "",
            cite=card.cite if card else ("10.1038/s42256-023-00716-3",),
        )

    @property
    def info(self) -> PotentialInfo:
        """Identity and range."""
        return self._info

    @property
    def neighbour_statistics(self) -> NeighbourStatistics:
        """How often the neighbour lists were rebuilt."""
        return self._neighbours.statistics

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        """See `Potential.evaluate`."""
        check_elements(batch.numbers, self.info)
        device = self._network.device
        positions, cells = batch.positions.to(device), batch.cells.to(device)
        numbers, system_index = batch.numbers.to(device), batch.system_index.to(device)
        volumes = check_stress_cells(cells) if stress else None
        pairs = self._neighbours.pairs(positions, cells, numbers, system_index)
        if device.type == "cpu":
            per_atom, along = self._one_by_one(numbers, system_index, batch.n_systems, pairs)
        else:
            per_atom, along = self._differentiate(
                numbers, pairs.first, pairs.second, pairs.vectors.to(self._dtype), pairs.distances.to(self._dtype)
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

    def _one_by_one(self, numbers: Tensor, system_index: Tensor, n_systems: int, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Evaluate one system after another: what pays on a CPU.

        A batch gains nothing there; small pieces stay in the caches, and every system's numbers are the same, bit by
        bit, whatever its batch mates.
        """
        atoms = torch.bincount(system_index, minlength=n_systems).tolist()
        edges = torch.bincount(pairs.system, minlength=n_systems).tolist()
        vectors, distances = pairs.vectors.to(self._dtype), pairs.distances.to(self._dtype)
        energies, gradients = [numbers.new_zeros(0, dtype=self._dtype)], [vectors[:0]]
        atom, edge = 0, 0
        for n_atoms, n_edges in zip(atoms, edges, strict=True):
            rows = slice(edge, edge + n_edges)
            energy, gradient = self._differentiate(
                numbers[atom : atom + n_atoms],
                pairs.first[rows] - atom,
                pairs.second[rows] - atom,
                vectors[rows],
                distances[rows],
            )
            energies.append(energy)
            gradients.append(gradient)
            atom, edge = atom + n_atoms, edge + n_edges
        return torch.cat(energies), torch.cat(gradients)

    def _differentiate(
        self, numbers: Tensor, first: Tensor, second: Tensor, vectors: Tensor, distances: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return atom energies (N,) and dE/dvectors (U, 3)."""
        graph = line_graph(first, second, distances, self._network.bond_cutoff_A, numbers.shape[0])
        with torch.enable_grad():
            leaf = vectors.detach().clone().requires_grad_()
            energies = self._network.atom_energies(numbers, Edges(first, second, leaf), graph)
            if leaf.shape[0] == 0:
                return energies.detach(), torch.zeros_like(vectors)
            (gradient,) = torch.autograd.grad(energies.sum(), leaf)
        return energies.detach(), gradient

    def as_ase(self) -> Calculator:
        """Return the package's own `CHGNetCalculator` of the same file."""
        with contextlib.redirect_stdout(io.StringIO()):
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(
                model=load_chgnet(self._path, self._version_name),
                use_device=self.info.device.partition(":")[0],
                on_isolated_atoms="ignore",
            )
