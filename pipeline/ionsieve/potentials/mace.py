"""Adapter of MACE: a file, or a foundation model from the user's cache; no AtomicData is built in a step.

MACE computes its edge vectors as ``r[receiver] - r[sender] + shift`` and uses positions for nothing else. We hand it
zero positions and the vectors themselves as shifts: vectors are formed in the precision of the caller (unwrapped
trajectories lose nothing in float32) and are the leaves of the differentiation, so forces and virial are sums over
edges and no strain has to be threaded through the network.
"""

from __future__ import annotations

import copy
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ionsieve.errors import InputError, SetupError
from ionsieve.potentials.edges import EdgePotential
from ionsieve.potentials.files import ModelFile, loading, quietly

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

__all__ = ["MACEPotential", "import_mace"]

_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def import_mace() -> None:
    """Import MACE before e3nn, and take back what the import does to the process.

    Importing `mace.calculators` sets an environment variable that turns off safe loading for everything; e3nn 0.4
    needs it during its own import only.
    """
    before = os.environ.get(_UNSAFE)
    with quietly():  # cuequivariance missing, deprecated torch.jit
        import mace.calculators
        import mace.modules  # noqa: F401
    if before is None:
        os.environ.pop(_UNSAFE, None)


def _load_model(path: Path) -> Any:
    import_mace()
    with loading(path, "MACE"):
        model = torch.load(path, map_location="cpu", weights_only=False)
    needed = ("r_max", "atomic_numbers", "atomic_energies_fn", "scale_shift")
    if not all(hasattr(model, name) for name in needed) or type(model).__name__ not in {"ScaleShiftMACE", "MACE"}:
        raise SetupError(
            "this file holds no MACE energy model",
            where=str(path),
            key="potential.path",
            found=type(model).__name__,
            expected="a MACE or ScaleShiftMACE, as saved by `mace_run_train` or shipped as foundation model",
            remedy="compiled (LAMMPS) and dipole models do not serve; use the plain .model file",
        )
    return model


class MACEPotential(EdgePotential):
    """MACE for many systems in one forward pass.

    Parameters
    ----------
    file
        Weights, and how to run them.
    head
        A model with several heads and none called "Default" needs it.
    accelerate
        ``on`` demands cuEquivariance, ``auto`` uses it where installed and the device is CUDA.

    Raises
    ------
    InputError
        When the head is not one of the model's.
    SetupError
        When the file holds no MACE, or cuEquivariance is demanded and missing.
    """

    def __init__(self, file: ModelFile, *, head: str | None = None, accelerate: str = "auto") -> None:
        self._path, device = file.path, file.device
        model = _load_model(file.path)
        self._head = _choose_head(model, head)
        names = list(getattr(model, "heads", None) or ["Default"])
        numbers = [int(z) for z in model.atomic_numbers]
        plain = copy.deepcopy(model).to(getattr(torch, file.dtype))
        self.accelerated = _wants_cueq(accelerate, device)
        info = file.info(
            "mace",
            package="mace-torch",
            elements=frozenset(numbers),
            cutoff_A=float(model.r_max),
            cite=("10.48550/arXiv.2206.07697",),
            backend=f" with cuequivariance {version('cuequivariance-torch')}" if self.accelerated else "",
            head=self._head if len(names) > 1 else "",
        )
        super().__init__(info, file.skin_A)
        if self.accelerated:
            plain = _to_cueq(plain, device)
        self._model = plain.to(device).eval().requires_grad_(False)
        self._row = torch.full((max(numbers) + 1,), -1, dtype=torch.int64)
        self._row[torch.tensor(numbers)] = torch.arange(len(numbers))
        self._row = self._row.to(device)
        self._n_elements = len(numbers)
        self._head_index = names.index(self._head)

    def atom_energies(
        self, numbers: Tensor, system_index: Tensor, n_systems: int, first: Tensor, second: Tensor, vectors: Tensor
    ) -> Tensor:
        """See `EdgePotential.atom_energies`."""
        n_atoms = numbers.shape[0]
        attributes = vectors.new_zeros((n_atoms, self._n_elements))
        attributes.scatter_(1, self._row.index_select(0, numbers).unsqueeze(1), 1.0)
        counts = torch.bincount(system_index, minlength=n_systems)
        pointer = torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
        directed = torch.cat([vectors, -vectors])
        data = {
            "positions": vectors.new_zeros((n_atoms, 3)),
            "cell": vectors.new_zeros((3 * n_systems, 3)),
            "shifts": directed,
            "unit_shifts": directed,
            "edge_index": torch.stack([torch.cat([first, second]), torch.cat([second, first])]),
            "node_attrs": attributes,
            "batch": system_index,
            "ptr": pointer,
            "head": torch.full((n_systems,), self._head_index, dtype=torch.int64, device=numbers.device),
        }
        result: Tensor = self._model(data, compute_force=False)["node_energy"]
        return result

    def as_ase(self) -> Calculator:
        """Return the package's own `MACECalculator` of the same file, without acceleration."""
        return self._calculator(self.info.dtype)

    def as_ase_float64(self) -> Calculator:
        """Return `as_ase` in float64, which the parity gate compares with."""
        return self._calculator("float64")

    def _calculator(self, dtype: str) -> Calculator:
        import_mace()
        from mace.calculators import MACECalculator

        with quietly():
            return MACECalculator(
                models=[_load_model(self._path).to(getattr(torch, dtype))],
                device=self.info.device,
                default_dtype=dtype,
                head=self._head,
            )


def _to_cueq(model: Any, device: str) -> Any:
    """Convert to cuEquivariance; the converter changes the process's default type, which is put back."""
    from mace.cli.convert_e3nn_cueq import run

    before = torch.get_default_dtype()
    try:
        with quietly():
            if device.startswith("cuda"):  # the converter fuses convolutions for exactly "cuda"
                with torch.cuda.device(torch.device(device)):
                    return run(model.to(device), device="cuda")
            return run(model, device=device)
    finally:
        torch.set_default_dtype(before)


def _choose_head(model: Any, wanted: str | None) -> str:
    names = list(getattr(model, "heads", None) or ["Default"])
    if wanted is None:
        default = [name for name in names if name.lower() == "default"]
        if default or len(names) == 1:
            return str((default or names)[0])
    elif wanted in names:
        return wanted
    raise InputError(
        "the model has several heads; say which" if wanted is None else "the model has no such head",
        key="potential.head",
        found=str(wanted),
        expected=", ".join(names),
        cause="each head speaks for one reference: functional, or data set",
        remedy=f"head: {names[0]}",
    )


def _wants_cueq(accelerate: str, device: str) -> bool:
    present = find_spec("cuequivariance_torch") is not None
    if accelerate == "on" and not present:
        raise SetupError(
            "cuEquivariance is demanded and not installed",
            key="potential.accelerate",
            found="on",
            remedy="pip install cuequivariance-torch cuequivariance-ops-torch-cu12, or accelerate: auto",
        )
    return accelerate == "on" or (accelerate == "auto" and present and device.startswith("cuda"))
