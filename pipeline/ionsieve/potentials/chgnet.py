"""Adapter of CHGNet (0.3.0, r2SCAN, or a fine-tuned file): batched, with a Verlet list and our own graph."""

from __future__ import annotations

import contextlib
import io
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ionsieve.geometry.neighbours import VerletList
from ionsieve.potentials.base import PotentialInfo
from ionsieve.potentials.chgnet_network import CHGNetNetwork, Edges, line_graph
from ionsieve.potentials.edges import EdgePotential
from ionsieve.potentials.models import ModelCard, digest

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


class CHGNetPotential(EdgePotential):
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
        skin_A: float = 0.8,
    ) -> None:
        self._path = path
        self._version_name = card.name.removeprefix("chgnet-") if card else ""
        model = load_chgnet(path, self._version_name)
        self._network = CHGNetNetwork(model, dtype=getattr(torch, dtype), device=device)
        info = PotentialInfo(
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
        super().__init__(info, VerletList(self._network.cutoff_A, skin_A))

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
        with contextlib.redirect_stdout(io.StringIO()):
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(
                model=load_chgnet(self._path, self._version_name),
                use_device=self.info.device.partition(":")[0],
                on_isolated_atoms="ignore",
            )
