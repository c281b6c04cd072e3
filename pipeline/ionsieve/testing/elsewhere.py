"""A pretended device: code that runs on it mixes no devices, as it must not on a GPU. No GPU is needed.

Values are computed on the CPU; the tensors say that they are elsewhere (on ``meta``, which nothing else of ours uses).
An operation that meets tensors of both places fails as it would on CUDA, `numpy()` fails too, and what makes the host
wait for the device is counted. What it cannot tell: time, memory, and rounding of other kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["Elsewhere", "MixedDevicesError"]

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_WAITS = {_aten._local_scalar_dense.default, _aten.equal.default, _aten.nonzero.default}


class MixedDevicesError(RuntimeError):
    """An operation met tensors of the CPU and of the device."""


class _There(torch.Tensor):
    """A tensor of the pretended device around one of the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> _There:
        made: _There = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _dispatch(func, args, dict(kwargs or {}), Counter())

    def tolist(self) -> Any:
        """Copy to the host; torch refuses it of subclasses."""
        return self.cpu().tolist()


class Elsewhere(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this context `device` exists.

    Attributes
    ----------
    device
        What to ask for.
    waits
        How often the host waited, by operation.
    """

    device = DEVICE

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do one operation."""
        return _dispatch(func, args, dict(kwargs or {}), self.waits)


def _dispatch(func: Any, args: Sequence[Any], kwargs: dict[str, Any], waits: Counter[str]) -> Any:
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    there = [t for t in tensors if isinstance(t, _There)]
    target = kwargs.get("device")
    lands_there = bool(there) if target is None else torch.device(target).type == DEVICE.type
    if there and func not in _COPIES:
        here = [t for t in tensors if not isinstance(t, _There) and t.dim() > 0]
        if func is _aten.index.Tensor and isinstance(args[0], _There):
            here = []  # indices of the host are taken along
        if here:
            raise MixedDevicesError(f"{func} met tensors {[tuple(t.shape) for t in here]} of the CPU")
    if there and (func in _WAITS or (func is _aten._to_copy.default and not lands_there)):
        waits[str(func).split(".")[1]] += 1
    plain_args, plain = tree_map(lambda t: t.held if isinstance(t, _There) else t, (args, kwargs))
    if target is not None:
        plain["device"] = torch.device("cpu")
    result = func(*plain_args, **plain)
    if not lands_there:
        return result
    known = {id(t.held): t for t in there}  # what was written in place is the same tensor still

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return known[id(value)] if id(value) in known else _There(value)

    return tree_map(wrap, result)
