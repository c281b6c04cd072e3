"""A small MACE with random weights, so that MACE code runs for real where no model can be downloaded.

Its forces have no meaning but every property of a potential: smooth, short-ranged, equivariant, conservative.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ionsieve.potentials.mace import import_mace

__all__ = ["build_tiny_mace", "write_tiny_mace"]


def build_tiny_mace(
    numbers: Sequence[int] = (3, 8, 11, 15, 16, 17),
    *,
    r_max_A: float = 4.5,
    channels: int = 8,
    heads: Sequence[str] = ("Default",),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """Return a `ScaleShiftMACE` of two layers with random weights.

    Parameters
    ----------
    numbers
        Atomic numbers that it knows, ascending.
    r_max_A
        Cut-off, Å.
    channels
        Of the hidden features; 8 gives about thirty thousand parameters.
    heads
        Names of the heads.
    seed
        Of the weights: equal seeds give equal models.
    dtype
        Of the weights.
    """
    import_mace()
    import numpy as np
    from e3nn import o3
    from mace import modules

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e3nn compiles with the deprecated torch.jit
            torch.manual_seed(seed)
            energies = -2.0 - 0.1 * np.arange(len(numbers), dtype=float)
            model = modules.ScaleShiftMACE(
                r_max=r_max_A,
                num_bessel=6,
                num_polynomial_cutoff=5,
                max_ell=2,
                interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
                interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
                num_interactions=2,
                num_elements=len(numbers),
                hidden_irreps=o3.Irreps(f"{channels}x0e + {channels}x1o"),
                MLP_irreps=o3.Irreps("8x0e"),
                atomic_energies=np.tile(energies, (len(heads), 1)),
                avg_num_neighbors=12.0,
                atomic_numbers=sorted(numbers),
                correlation=2,
                gate=torch.nn.functional.silu,
                atomic_inter_scale=[1.5] * len(heads),
                atomic_inter_shift=[0.0] * len(heads),
                heads=list(heads),
                use_reduced_cg=False,  # as the published models: they convert to cuEquivariance exactly
            )
    finally:
        torch.set_default_dtype(before)
    return model.eval()


def write_tiny_mace(path: Path | str, **kwargs: Any) -> Path:
    """Write `build_tiny_mace(**kwargs)` as a model file, as MACE's own training does, and return its path."""
    target = Path(path)
    torch.save(build_tiny_mace(**kwargs), target)
    return target
