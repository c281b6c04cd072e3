"""Adapter of CHGNet (0.3.0, r2SCAN, or a fine-tuned file): batched, with a Verlet list and our own graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ionsieve.potentials.chgnet_network import CHGNetNetwork, Edges, line_graph
from ionsieve.potentials.edges import EdgePotential
from ionsieve.potentials.files import ModelFile, loading, quietly

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["CHGNetPotential", "load_chgnet"]


def load_chgnet(path: Path, version_name: str = "") -> Any:
    """Load the package's own model from a file, quietly, on the CPU. The caller has checked its digest."""
    with loading(path, "CHGNet"):
        from chgnet.model import CHGNet

        model = CHGNet.from_file(str(path), mlp_out_bias=False, version=version_name or None)
    model.requires_grad_(False)
    return model.eval()


class CHGNetPotential(EdgePotential):
    """CHGNet for many systems in one forward pass.

    Forces equal the package's own calculator to 1e-4 eV/Å in float32 (tests/contracts). Results do not depend on the
    age of the neighbour list. On a CPU they do not depend on batch mates either (systems go one after another); on a
    GPU they do by rounding, since matrix products of other sizes round differently.

    Raises
    ------
    SetupError
        When the file has another architecture.
    """

    def __init__(self, file: ModelFile) -> None:
        self._path = file.path
        self._version_name = file.card.name.removeprefix("chgnet-") if file.card else ""
        model = load_chgnet(file.path, self._version_name)
        self._network = CHGNetNetwork(model, dtype=getattr(torch, file.dtype), device=file.device)
        info = file.info(
            "chgnet",
            package="chgnet",
            elements=file.card.elements if file.card else frozenset(range(1, 95)),
            cutoff_A=self._network.cutoff_A,
            cite=("10.1038/s42256-023-00716-3",),
        )
        super().__init__(info, file.skin_A)

    def atom_energies(
        self, numbers: Tensor, system_index: Tensor, n_systems: int, first: Tensor, second: Tensor, vectors: Tensor
    ) -> Tensor:
        """See `EdgePotential.atom_energies`."""
        del system_index, n_systems
        distances = torch.linalg.vector_norm(vectors.detach(), dim=1)
        graph = line_graph(first, second, distances, self._network.bond_cutoff_A, numbers.shape[0])
        return self._network.atom_energies(numbers, Edges(first, second, vectors), graph)

    def as_ase(self) -> Calculator:
        """Return the package's own `CHGNetCalculator` of the same file."""
        with quietly():
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(
                model=load_chgnet(self._path, self._version_name),
                use_device=self.info.device,
                on_isolated_atoms="ignore",
            )
