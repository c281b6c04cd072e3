"""What every adapter refuses in the same words."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ionsieve.errors import GeometryError, InputError, SetupError
from ionsieve.geometry.seen import Seen
from ionsieve.potentials.base import PotentialInfo
from ionsieve.potentials.symbols import symbol

__all__ = ["check_elements", "check_stress_cells", "choose_device"]


@lru_cache(maxsize=64)
def _table(elements: frozenset[int], device: torch.device) -> Tensor:
    table = torch.zeros(256, dtype=torch.bool)
    table[sorted(elements)] = True
    return table.to(device)


@lru_cache(maxsize=64)
def _seen(elements: frozenset[int]) -> Seen:
    return Seen()


def check_elements(numbers: Tensor, info: PotentialInfo) -> None:
    """Refuse elements that the potential was not trained for.

    Raises
    ------
    InputError
        Names the elements.
    """
    seen = _seen(info.elements)
    if seen(numbers):  # step after step the same tensor: looked at once
        return
    known = _table(info.elements, numbers.device)
    if bool(known[numbers.clamp(0, 255)].all()):
        seen.note(numbers)
        return
    unknown = sorted({int(z) for z in numbers.tolist()} - info.elements)
    raise InputError(
        f"{info.name} was not trained for {', '.join(symbol(z) for z in unknown)}",
        key="potential.name",
        found=info.name,
        expected=f"elements among the {len(info.elements)} of the model",
        remedy="choose a potential that covers the element (`ionsieve models`), or take the dopant out",
    )


def check_stress_cells(cells: Tensor) -> Tensor:
    """Return the volumes (S,), Å³.

    Raises
    ------
    GeometryError
        When a cell has no volume.
    """
    volumes: Tensor = torch.linalg.det(cells).abs()
    if bool((volumes < 1e-6).any()):
        raise GeometryError("a stress needs a cell with volume", found=f"{float(volumes.min()):.3g} Å³")
    return volumes


def choose_device(wanted: str) -> str:
    """Return the device for a setting: ``auto`` is the first CUDA device, else the CPU.

    Raises
    ------
    SetupError
        When the device asked for is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        index = int(wanted.partition(":")[2] or 0)
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index >= count:
            raise SetupError(
                f"the device {wanted} is not there",
                key="potential.device",
                found=wanted,
                expected=f"{count} CUDA devices are visible",
                cause="no driver, a CPU build of torch, or CUDA_VISIBLE_DEVICES hides it",
                remedy="`ionsieve doctor` shows what torch sees; `device: auto` falls back to the CPU",
            )
        return f"cuda:{index}"
    return wanted
