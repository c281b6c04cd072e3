"""How much memory a forward pass takes: measured on a few small batches, then predicted, never probed to the crash.

    bytes = a * edges + b * atoms + c

`edges` are undirected pairs within the cut-off. The fit has non-negative coefficients and is raised until no
measurement lies above it. It is kept on disk per model, precision, backend, device and versions, so it is made once
a machine. A true out-of-memory lowers the bound for good (`MemoryBook.ran_out`).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ionsieve.errors import DataError, SetupError
from ionsieve.geometry.neighbours import half_list
from ionsieve.potentials.base import Potential
from ionsieve.systems import Batch

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "CudaMeter",
    "MemoryBook",
    "MemoryModel",
    "Meter",
    "RssMeter",
    "Sample",
    "calibrate",
    "count_edges",
    "fit",
    "is_out_of_memory",
    "memory_book",
]

_SCHEMA = 2
#: how torch and its libraries say that memory is exhausted, on CUDA and on a CPU
_EXHAUSTED = (
    "out of memory",
    "failed to allocate",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is exhausted (and no more than that)."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _EXHAUSTED)


class Meter(Protocol):
    """Measures the memory that a call takes beyond what was taken before it."""

    def measure(self, call: Callable[[], object]) -> int:
        """Run the call and return the peak of additional bytes."""
        ...

    def available(self) -> int:
        """Return bytes that could be taken now."""
        ...


class CudaMeter:
    """Peak of PyTorch's allocator on one CUDA device."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def measure(self, call: Callable[[], object]) -> int:
        """See `Meter.measure`."""
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        call()
        torch.cuda.synchronize(self._device)
        return max(0, torch.cuda.max_memory_allocated(self._device) - before)

    def available(self) -> int:
        """See `Meter.available`."""
        free, _ = torch.cuda.mem_get_info(self._device)
        cached = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(free + cached)


class RssMeter:
    """Resident memory of this process above what it was at the first measurement, sampled by a thread.

    Buffers that a potential keeps between calls count as its own, so measure in ascending order of size, and in a
    process that has not evaluated it before.
    """

    def __init__(self, interval_s: float = 0.002) -> None:
        import psutil

        self._process = psutil.Process()
        self._virtual = psutil.virtual_memory
        self._interval_s = interval_s
        self._floor: int | None = None

    def measure(self, call: Callable[[], object]) -> int:
        """See `Meter.measure`."""
        _return_free_memory()
        if self._floor is None:
            self._floor = self._process.memory_info().rss
        peak = self._process.memory_info().rss
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(self._interval_s):
                peak = max(peak, self._process.memory_info().rss)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            call()
        finally:
            peak = max(peak, self._process.memory_info().rss)
            done.set()
            watcher.join()
        return int(max(0, peak - self._floor))

    def available(self) -> int:
        """See `Meter.available`."""
        return int(self._virtual().available)


def _return_free_memory() -> None:
    """Give freed heap back to the system (glibc), so that it is not mistaken for memory in use."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@dataclass(frozen=True)
class Sample:
    """One measured forward pass."""

    edges: int
    atoms: int
    bytes: int


@dataclass(frozen=True)
class MemoryModel:
    """bytes = per_edge * edges + per_atom * atoms + fixed."""

    per_edge: float
    per_atom: float
    fixed: float

    def predict(self, edges: float, atoms: float) -> float:
        """Return the bytes of a forward pass."""
        return self.per_edge * edges + self.per_atom * atoms + self.fixed


def fit(samples: Sequence[Sample]) -> MemoryModel:
    """Return the non-negative least-squares model (relative errors), raised to cover every sample.

    Raises
    ------
    SetupError
        With no sample.
    """
    if not samples:
        raise SetupError("no memory was measured", remedy="calibrate with at least one structure")
    from scipy.optimize import nnls

    rows = np.array([[s.edges, s.atoms, 1.0] for s in samples], dtype=float)
    taken = np.array([max(s.bytes, 1) for s in samples], dtype=float)
    # unit columns: nnls compares gradients, and bytes per edge and fixed bytes differ by powers of ten
    weighted = rows / taken[:, None]
    norms = np.linalg.norm(weighted, axis=0)
    norms[norms == 0] = 1.0
    coefficients = nnls(weighted / norms, np.ones(len(samples)))[0] / norms
    short = taken / np.maximum(rows @ coefficients, 1e-300)
    coefficients = coefficients * max(1.0, float(short.max()))
    return MemoryModel(*(float(c) for c in coefficients))


def count_edges(atoms: Atoms, cutoff_A: float) -> int:
    """Return the undirected edges of one structure."""
    return len(half_list(atoms.positions, atoms.cell.array, cutoff_A)[0])


def calibrate(
    potential: Potential, structures: Sequence[Atoms], meter: Meter, *, copies: Sequence[int] = (1, 2, 4)
) -> tuple[MemoryModel, list[Sample]]:
    """Measure small batches and fit.

    Parameters
    ----------
    potential
        Evaluated with stress, the dearest case.
    structures
        One or more; different densities separate edges from atoms.
    meter
        `CudaMeter`, `RssMeter`, or a fake one in tests.
    copies
        How many of each structure in a batch.
    """
    cases = []
    for structure in structures:
        loose = structure.copy()  # a cell stretched apart has the same atoms and fewer edges
        loose.set_cell(loose.cell.array * 1.25, scale_atoms=True)
        for atoms in (structure, loose):
            edges = count_edges(atoms, potential.info.cutoff_A)
            cases += [(edges * number, len(atoms) * number, [atoms] * number) for number in copies]
    samples: list[Sample] = []
    for edges, count, systems in sorted(cases, key=lambda case: case[:2]):
        batch = Batch.from_atoms(systems, device=potential.info.device)
        try:
            taken = meter.measure(functools.partial(potential.evaluate, batch, stress=True))
        except Exception as error:
            if not samples or not is_out_of_memory(error):
                raise
            break  # a small device: what did fit is enough for a fit
        samples.append(Sample(edges, count, taken))
    return fit(samples), samples


@dataclass
class MemoryBook:
    """A fitted model with what was learned since, kept in a file.

    Attributes
    ----------
    model
        Predicts bytes.
    free_bytes
        What may be taken now: a share of what the device has free. Not kept: it differs from day to day.
    learned_bytes
        What turned out to be too much, halved; None as long as memory never ran out.
    path
        Where it is kept, or None.
    samples
        What it was fitted to.
    key
        For which weights, precision, backend, device and versions it holds.
    """

    model: MemoryModel
    free_bytes: float
    path: Path | None = None
    samples: list[Sample] = field(default_factory=list)
    key: dict[str, str] = field(default_factory=dict)
    learned_bytes: float | None = None

    @property
    def bound_bytes(self) -> float:
        """What a forward pass may take."""
        return self.free_bytes if self.learned_bytes is None else min(self.free_bytes, self.learned_bytes)

    def fits(self, edges: float, atoms: float) -> bool:
        """Whether a batch of that size stays within the bound."""
        return self.model.predict(edges, atoms) <= self.bound_bytes

    def cost(self, edges_per_atom: float) -> Callable[[int], float]:
        """Return the bytes of one system as a function of its atoms, at a given density of edges.

        With ``bound_bytes - model.fixed`` this is the cost and the bound of a packer.
        """
        per_atom = self.model.per_edge * edges_per_atom + self.model.per_atom
        return lambda atoms: per_atom * atoms

    def most_atoms(self, edges_per_atom: float) -> int:
        """Return how many atoms a batch may hold."""
        per_atom = self.model.per_edge * edges_per_atom + self.model.per_atom
        return int(max(0.0, self.bound_bytes - self.model.fixed) / max(per_atom, 1e-300))

    def ran_out(self, edges: float, atoms: float) -> None:
        """Note a real out-of-memory: the bound falls to half of what did not fit, for good; the file is rewritten."""
        half = 0.5 * self.model.predict(edges, atoms)
        self.learned_bytes = half if self.learned_bytes is None else min(half, self.learned_bytes)
        self.save()

    def save(self) -> None:
        """Write the file (temporary, fsync, rename)."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "schema": _SCHEMA,
                "key": self.key,
                "model": asdict(self.model),
                "learned_bytes": self.learned_bytes,
                "samples": [asdict(sample) for sample in self.samples],
            },
            indent=1,
            sort_keys=True,
        )
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".memory-")
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(self.path)

    @classmethod
    def read(cls, path: Path, free_bytes: float) -> MemoryBook:
        """Read the file; `free_bytes` is what may be taken now.

        Raises
        ------
        DataError
            When it is damaged or of another schema.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            if data["schema"] != _SCHEMA:
                raise DataError(
                    "the memory file has another schema",
                    where=str(path),
                    found=str(data["schema"]),
                    expected=str(_SCHEMA),
                    remedy="delete it; it is measured anew",
                )
            return cls(
                MemoryModel(**data["model"]),
                free_bytes,
                path,
                [Sample(**sample) for sample in data["samples"]],
                data["key"],
                data["learned_bytes"],
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"the memory file is damaged: {error}", where=str(path), remedy="delete it; it is measured anew"
            ) from error


def device_name(device: str) -> str:
    """Return the marketing name of a CUDA device, or the processor's."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    return platform.processor() or platform.machine()


def memory_book(
    potential: Potential,
    structures: Sequence[Atoms],
    folder: Path | None = None,
    *,
    meter: Meter | None = None,
    share: float = 0.8,
    backend: str = "",
) -> MemoryBook:
    """Return the memory book of a potential on its device: from the folder, or measured now and kept there.

    Parameters
    ----------
    potential, structures
        As in `calibrate`.
    folder
        Where books are kept; default ``~/.cache/ionsieve/memory``.
    meter
        Default: the CUDA allocator, or the process's resident memory on a CPU.
    share
        Of the memory available now that a forward pass may take.
    backend
        Names an accelerated variant, which takes other amounts.
    """
    info = potential.info
    if meter is None:
        meter = CudaMeter(info.device) if info.device.startswith("cuda") else RssMeter()
    key = {
        "sha256": info.sha256,
        "dtype": info.dtype,
        "backend": backend or ("cueq" if getattr(potential, "accelerated", False) else "plain"),
        "device": device_name(info.device),
        "torch": torch.__version__,
        "package": info.version,
        "schema": str(_SCHEMA),  # a book of another version is left alone
    }
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ionsieve" / "memory"
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path = (folder or cache) / f"{name}.json"
    if path.is_file():
        return MemoryBook.read(path, share * meter.available())
    model, samples = calibrate(potential, structures, meter)
    book = MemoryBook(model, share * meter.available(), path, samples, key)
    book.save()
    return book
