"""Adapter of SevenNet. It needs e3nn >= 0.5, MACE pins 0.4.4: an environment of its own (docs/guide/potentials.md).

SevenNet's graph already takes edge vectors; we run its modules from the edge embedding to the atomic energies, and
leave out those that sum, differentiate and collate.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ionsieve.errors import InputError, SetupError
from ionsieve.potentials.edges import EdgePotential
from ionsieve.potentials.files import ModelFile, loading, quietly

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["SevenNetPotential"]

#: modules after the atomic energies, and those that make edge vectors from positions
_LEFT_OUT = {"reduce_total_enegy", "force_output", "edge_preprocess"}


def _load_model(path: Path) -> Any:
    with loading(path, "SevenNet"):
        from sevenn.util import load_checkpoint

        model = load_checkpoint(str(path)).build_model()
    if "edge_embedding" not in model._modules or "rescale_atomic_energy" not in model._modules:
        raise SetupError(
            "this SevenNet file has another architecture than the published models",
            where=str(path),
            key="potential.path",
            remedy="use it through the ASE door: name: ase:your_module:factory",
        )
    return model


class SevenNetPotential(EdgePotential):
    """SevenNet for many systems in one forward pass.

    Parameters
    ----------
    file
        Weights, and how to run them: in float32.
    modality
        Fidelity of a multi-fidelity model.

    Raises
    ------
    InputError
        When the modality is missing or not one of the model's, or another type than float32 is asked for.
    SetupError
        When the file has another architecture.
    """

    def __init__(self, file: ModelFile, *, modality: str | None = None) -> None:
        if file.dtype != "float32":
            raise InputError(
                "SevenNet computes in float32 only",
                key="potential.dtype",
                found=file.dtype,
                cause="its package fixes the type of its one-hot features",
                remedy="dtype: float32",
            )
        self._path = file.path
        model = _load_model(file.path)
        known = dict(model.modal_map or {})
        if known and modality not in known:
            raise InputError(
                "the model has several modalities; say which" if modality is None else "the model has no such modality",
                key="potential.head",
                found=str(modality),
                expected=", ".join(sorted(known)),
                remedy=f"head: {min(known)}",
            )
        self._modality = modality if known else None
        self._modality_index = known.get(modality, 0)
        info = file.info(
            "sevennet",
            package="sevenn",
            elements=frozenset(int(z) for z in model.type_map),
            cutoff_A=float(model.cutoff),
            cite=("10.1021/acs.jctc.4c00190",),
            head=self._modality or "",
        )
        super().__init__(info, file.skin_A)
        model.set_is_batch_data(True)
        model.to(device=file.device, dtype=self._dtype).eval().requires_grad_(False)
        self._modules = [module for name, module in model._modules.items() if name not in _LEFT_OUT]
        self._type = model.z_to_onehot_tensor.to(file.device)

    def atom_energies(
        self, numbers: Tensor, system_index: Tensor, n_systems: int, first: Tensor, second: Tensor, vectors: Tensor
    ) -> Tensor:
        """See `EdgePotential.atom_energies`."""
        counts = torch.bincount(system_index, minlength=n_systems)
        data: dict[str, Any] = {
            "x": self._type.index_select(0, numbers),
            "atomic_numbers": numbers,
            "edge_index": torch.stack([torch.cat([first, second]), torch.cat([second, first])]),
            "edge_vec": torch.cat([vectors, -vectors]),
            "num_atoms": counts,
            "batch": system_index,
        }
        if self._modality is not None:
            data["modal_type"] = torch.full((n_systems,), self._modality_index, device=numbers.device)
        with warnings.catch_warnings():  # of every step: nothing is printed here, so nothing is redirected
            warnings.simplefilter("ignore")
            for module in self._modules:
                data = module(data)
        energies: Tensor = data["atomic_energy"]
        return energies.view(-1)

    def as_ase(self) -> Calculator:
        """Return the package's own `SevenNetCalculator` of the same file; it computes in float32."""
        with quietly():
            from sevenn.calculator import SevenNetCalculator

            return SevenNetCalculator(model=str(self._path), device=self.info.device, modal=self._modality)
