"""A small MACE trained on labelled frames: mace-torch's own model, data, loss and step; ours are the frames and seed.

I. Batatia et al., MACE: higher order equivariant message passing neural networks, 10.48550/arXiv.2206.07697.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ionsieve.distill.frames import Frames
from ionsieve.distill.settings import DistillSettings
from ionsieve.potentials.mace import import_mace
from ionsieve.rng import generator, stream_seed

__all__ = ["Student", "element_energies", "train"]


@dataclass(frozen=True)
class Student:
    """A trained student.

    Attributes
    ----------
    model
        The mace-torch module, float32, on the CPU.
    history
        (epochs,) mean loss of each epoch.
    cpu_seconds
        Spent on training.
    n_parameters
        Trainable numbers.
    """

    model: Any
    history: tuple[float, ...]
    cpu_seconds: float
    n_parameters: int
    settings: DistillSettings = field(default_factory=DistillSettings)

    @property
    def weights_sha256(self) -> str:
        """Digest of names, shapes and values of all parameters and buffers: equal lessons, equal digest."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> str:
        """Write the model as `MACECalculator` and the potential ``mace`` read it; return the file's SHA-256.

        The file is a pickle and never twice the same, so a file of the same weights is left as it is: runs that were
        made with it stay valid. A note beside it (``.json``) holds both digests.
        """
        note = path.with_suffix(".json")
        if path.is_file() and note.is_file():
            told = json.loads(note.read_text(encoding="utf-8"))
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if told == {"weights_sha256": self.weights_sha256, "file_sha256": found}:
                return found
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript's deprecation
            torch.save(self.model, path)
        made = hashlib.sha256(path.read_bytes()).hexdigest()
        told = {"weights_sha256": self.weights_sha256, "file_sha256": made}
        note.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return made


def element_energies(frames: Frames) -> NDArray[np.float64]:
    """Return one energy an element, eV, by least squares of the frames' energies on their compositions.

    With fewer compositions than elements the smallest energies that fit are taken: only their sum in each cell matters.
    """
    elements = frames.elements
    counts = np.array([[np.sum(numbers == z) for z in elements] for numbers in frames.numbers], dtype=float)
    solution, *_ = np.linalg.lstsq(counts, frames.energies_eV, rcond=None)
    return np.asarray(solution, dtype=np.float64)


def train(
    frames: Frames,
    settings: DistillSettings | None = None,
    *,
    report: Callable[[int, float], None] | None = None,
) -> Student:
    """Train a student on the CPU in float32. Equal frames and settings give equal weights at one thread.

    Parameters
    ----------
    report
        Called after each epoch with its number and mean loss.

    Notes
    -----
    Loss: w_E mean((ΔE/N)²) + w_F mean(ΔF²). Stress is not learnt: the student is for runs at constant volume in the
    teacher's relaxed cell.
    """
    settings = settings or DistillSettings()
    import_mace()
    from mace.modules import WeightedEnergyForcesLoss
    from mace.tools import torch_geometric
    from mace.tools.torch_tools import default_dtype
    from mace.tools.train import take_step

    start = time.process_time()
    seed = stream_seed(settings.seed, "distill", "weights")
    with torch.random.fork_rng(devices=[]), default_dtype("float32"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript's deprecation and its annotations: nothing a user can mend
        torch.manual_seed(seed % 2**31)
        data = _graphs(frames, settings)
        model = _build(frames, data, settings)
        loss = WeightedEnergyForcesLoss(energy_weight=settings.energy_weight, forces_weight=settings.forces_weight)
        optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, amsgrad=True)
        history: list[float] = []
        for epoch in range(settings.epochs):
            share = epoch / max(settings.epochs - 1, 1)
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * share)))
            order = generator(settings.seed, "distill", "order", step=epoch).permutation(len(data))
            total = 0.0
            for begin in range(0, len(data), settings.batch_frames):
                chosen = [data[i] for i in order[begin : begin + settings.batch_frames]]
                batch = torch_geometric.Batch.from_data_list(chosen)
                value, _ = take_step(
                    model=model,
                    loss_fn=loss,
                    batch=batch,
                    optimizer=optimiser,
                    ema=None,
                    output_args={"forces": True, "virials": False, "stress": False},
                    max_grad_norm=10.0,
                    device=torch.device("cpu"),
                )
                total += float(value.detach()) * len(chosen)
            history.append(total / len(data))
            if report is not None:
                report(epoch, history[-1])
            if settings.budget_s is not None and time.process_time() - start > settings.budget_s:
                break
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return Student(
        model.eval(),
        tuple(history),
        time.process_time() - start,
        sum(p.numel() for p in model.parameters()),
        settings,
    )


def _graphs(frames: Frames, settings: DistillSettings) -> list[Any]:
    """Return the frames as MACE's graphs."""
    from mace.data import AtomicData, Configuration
    from mace.tools import AtomicNumberTable

    table = AtomicNumberTable(list(frames.elements))
    graphs = []
    for i in range(len(frames)):
        configuration = Configuration(
            atomic_numbers=frames.numbers[i],
            positions=frames.positions[i],
            cell=frames.cells[i],
            pbc=(True, True, True),
            properties={"energy": float(frames.energies_eV[i]), "forces": frames.forces_eV_per_A[i]},
            property_weights={"energy": 1.0, "forces": 1.0},
        )
        graphs.append(AtomicData.from_config(configuration, z_table=table, cutoff=settings.cutoff_A))
    return graphs


def _build(frames: Frames, graphs: list[Any], settings: DistillSettings) -> Any:
    """Return an untrained model scaled to the frames."""
    from e3nn import o3
    from mace.modules import ScaleShiftMACE, interaction_classes

    edges = sum(g.edge_index.shape[1] for g in graphs) / sum(len(n) for n in frames.numbers)
    hidden = "+".join(f"{settings.channels}x{order}{'oe'[order % 2 == 0]}" for order in range(settings.max_L + 1))
    return ScaleShiftMACE(
        r_max=settings.cutoff_A,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=settings.max_ell,
        interaction_cls=interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=settings.layers,
        num_elements=len(frames.elements),
        hidden_irreps=o3.Irreps(hidden),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=element_energies(frames),
        avg_num_neighbors=float(edges),
        atomic_numbers=list(frames.elements),
        correlation=settings.correlation,
        gate=torch.nn.functional.silu,
        radial_MLP=[32, 32],
        atomic_inter_scale=frames.force_rms_eV_per_A,
        atomic_inter_shift=0.0,
    )
