"""The three heavy layers of CHGNet with hand-written gradients, worked through in blocks that stay in the cache.

All three are gated multi-layer perceptrons over the rows of a graph: ``m = silu(norm(core)) * sigmoid(norm(gate))``.
Core and gate lie side by side in one tensor of 2 x width columns. Layer normalisation subtracts the mean of each
half; that subtraction is linear and is folded into the weights before it (`centred`), so only the scale remains:

    c = row of core or gate, already of zero mean;  r = (c.c / width + eps)^(-1/2);  y = gamma r c + beta

Backward, with z = r c and dz = gamma dy:  dc = r (dz - z (z.dz) / width); the mean drops out by the folded weights.

Parameters are constants: gradients are taken with respect to features only. Buffers of a thread are kept between
calls, because fresh memory for every tensor costs more than the arithmetic.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["AngleMessage", "AnglePlan", "AngleUpdate", "AtomMessage", "AtomPlan", "Gate", "Workspace", "centred"]

#: rows of a block on the CPU: 2 x 64 float32 columns of 2048 rows are one megabyte.
_BLOCK = 2048
_silu_backward = torch.ops.aten.silu_backward.grad_input
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class Workspace(threading.local):
    """Named buffers of this thread; they grow and are used again. On CUDA the allocator does the same job."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def get(self, name: str, rows: int, columns: int, like: Tensor) -> Tensor:
        """Return an uninitialised (rows, columns) tensor of the type of `like`."""
        if like.device.type != "cpu":
            return like.new_empty((rows, columns))
        size = rows * columns
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < size or kept.dtype != like.dtype:
            kept = like.new_empty(size + size // 4)
            self._buffers[name] = kept
        return kept[:size].view(rows, columns)


def centred(matrix: Tensor, halves: int = 1) -> Tensor:
    """Subtract from each row (or vector) the mean of each of its equal `halves`: folds the mean of a layer norm."""
    parts = matrix.reshape(*matrix.shape[:-1], halves, -1)
    return (parts - parts.mean(-1, keepdim=True)).reshape(matrix.shape)


@dataclass(frozen=True)
class Gate:
    """Weights of a gated perceptron after its first layer.

    Attributes
    ----------
    core, gate
        (width, width) of the second linear layer, centred, or None where there is only one layer.
    core_t, gate_t
        Their transposes.
    bias
        (2 width,) of the second layer, centred.
    gamma, beta
        (2 width,) of the layer norms.
    eps
        Of the layer norms.
    """

    core: Tensor | None
    gate: Tensor | None
    core_t: Tensor | None
    gate_t: Tensor | None
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor
    eps: float

    def forward(self, pre: Tensor, unit: Tensor, scale: Tensor, wide: Tensor, out: Tensor) -> None:
        """Write the message (n, width) of the first layer's output `pre` (n, 2 width) into `out`.

        `unit` (n, 2 width; `pre` itself where there is no hidden layer) and `scale` (n, 2) receive z and r for
        the backward pass; `wide` is scratch.
        """
        rows, width = out.shape
        if self.core is not None and self.gate is not None and self.bias is not None:
            torch.ops.aten.silu.out(pre, out=wide)
            torch.addmm(self.bias[:width], wide[:, :width], self.core, out=unit[:, :width])
            torch.addmm(self.bias[width:], wide[:, width:], self.gate, out=unit[:, width:])
        halves = unit.view(rows, 2, width)
        torch.linalg.vector_norm(halves, dim=2, out=scale)
        scale.square_().mul_(1.0 / width).add_(self.eps).rsqrt_()
        halves.mul_(scale.unsqueeze(2))
        torch.addcmul(self.beta, unit, self.gamma, out=wide)
        torch.ops.aten.silu.out(wide[:, :width], out=out)
        out.mul_(wide[:, width:].sigmoid_())

    def backward(
        self, grad: Tensor, weight: Tensor | None, pre: Tensor, unit: Tensor, scale: Tensor, scratch: _Scratch
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of `pre` (n, 2 width) and of the weight, row by row (n, width).

        `grad` (n, width) is that of the weighted message and is overwritten; `weight` multiplied the message: (n,
        width), or (n/2, width) for both halves of the rows, or None.
        """
        rows, width = grad.shape
        y, dz = scratch.wide
        core, gate, weight_grad = scratch.narrow[1:4]
        torch.addcmul(self.beta, unit, self.gamma, out=y)
        torch.ops.aten.silu.out(y[:, :width], out=core)
        torch.sigmoid(y[:, width:], out=gate)
        if weight is not None:
            torch.mul(core, gate, out=weight_grad).mul_(grad)
            _times(grad, weight)
        _sigmoid_backward(core.mul_(grad), gate, grad_input=dz[:, width:])
        _silu_backward(grad.mul_(gate), y[:, :width], grad_input=dz[:, :width])
        dz.mul_(self.gamma)
        halves = dz.view(rows, 2, width)
        along = torch.mul(dz, unit, out=y).view(rows, 2, width).sum(2, keepdim=True)
        halves.addcmul_(unit.view(rows, 2, width), along, value=-1.0 / width)
        halves.mul_(scale.unsqueeze(2))
        if self.core_t is None or self.gate_t is None:
            return dz, weight_grad
        torch.mm(dz[:, :width], self.core_t, out=y[:, :width])
        torch.mm(dz[:, width:], self.gate_t, out=y[:, width:])
        return _silu_backward(y, pre, grad_input=dz), weight_grad


def _times(rows: Tensor, weight: Tensor) -> None:
    """Multiply (n, width) in place by (n, width), or by (n/2, width) for both halves of the rows."""
    rows.view(-1, *weight.shape).mul_(weight)


def _blocks(count: int, like: Tensor, rows_each: int = 1) -> Iterator[tuple[int, int]]:
    """Cut `count` items of `rows_each` rows into blocks; on a GPU there is one."""
    step = max(_BLOCK // rows_each, 1) if like.device.type == "cpu" else max(count, 1)
    for begin in range(0, count, step):
        yield begin, min(begin + step, count)


class _Scratch:
    """Scratch tensors of one block size."""

    def __init__(self, space: Workspace, rows: int, width: int, like: Tensor) -> None:
        self.wide = [space.get(f"wide{k}", rows, 2 * width, like) for k in range(2)]
        self.narrow = [space.get(f"narrow{k}", rows, width, like) for k in range(5)]


class _Pass:
    """One gated layer under way: its weights, and the buffers that its backward pass will need.

    Parameters
    ----------
    gate, space, name
        Weights; buffers; the name under which they are kept.
    total
        Rows.
    like
        A feature tensor (..., width).
    """

    def __init__(self, gate: Gate, space: Workspace, name: str, total: int, like: Tensor) -> None:
        self._gate, self._space, self._width = gate, space, like.shape[1]
        self.unit = space.get(f"{name}.unit", total, 2 * self._width, like)
        # without a hidden layer the input is normalised in place
        self.pre = self.unit if gate.core is None else space.get(f"{name}.pre", total, 2 * self._width, like)
        self.scale = space.get(f"{name}.scale", total, 2, like)

    def scratch(self, rows: slice) -> _Scratch:
        """Return scratch tensors for a block of rows."""
        return _Scratch(self._space, rows.stop - rows.start, self._width, self.scale)

    def forward(self, rows: slice, scratch: _Scratch) -> Tensor:
        """Return the message of the rows whose first layer's output is in `pre`."""
        message = scratch.narrow[0]
        self._gate.forward(self.pre[rows], self.unit[rows], self.scale[rows], scratch.wide[0], message)
        return message

    def backward(self, rows: slice, grad: Tensor, weight: Tensor | None, scratch: _Scratch) -> tuple[Tensor, Tensor]:
        """See `Gate.backward`."""
        return self._gate.backward(grad, weight, self.pre[rows], self.unit[rows], self.scale[rows], scratch)


@dataclass(frozen=True)
class AtomPlan:
    """Directed edges in the order in which blocks are worked through: forth and back of one block of edges.

    `centre` and `neighbour` (2U,): for undirected edges b:e the rows 2b:2e hold first->second, then second->first.
    """

    centre: Tensor
    neighbour: Tensor
    edges: int

    @classmethod
    def build(cls, first: Tensor, second: Tensor) -> AtomPlan:
        """Return the plan of undirected edges (U,)."""
        count = int(first.shape[0])
        centre, neighbour = [], []
        for begin, end in _blocks(count, first, 2):
            centre += [first[begin:end], second[begin:end]]
            neighbour += [second[begin:end], first[begin:end]]
        if not centre:
            return cls(first, second, 0)
        return cls(torch.cat(centre), torch.cat(neighbour), count)


class AtomMessage(torch.autograd.Function):
    """Sum over the directed edges of each atom: gate(centre + neighbour + bond) * weight."""

    @staticmethod
    def forward(
        ctx: Any,
        centre_rows: Tensor,
        neighbour_rows: Tensor,
        bond: Tensor,
        weight: Tensor,
        plan: AtomPlan,
        gate: Gate,
        space: Workspace,
        name: str,
    ) -> Tensor:
        """centre_rows, neighbour_rows (N, 2w); bond (U, 2w); weight (U, w) -> (N, w)."""
        width = weight.shape[1]
        out = weight.new_zeros((centre_rows.shape[0], width))
        layer = _Pass(gate, space, name, 2 * plan.edges, weight)
        for begin, end in _blocks(plan.edges, weight, 2):
            rows = slice(2 * begin, 2 * end)
            scratch = layer.scratch(rows)
            pre = layer.pre[rows]
            torch.index_select(centre_rows, 0, plan.centre[rows], out=pre)
            pre.add_(torch.index_select(neighbour_rows, 0, plan.neighbour[rows], out=scratch.wide[0]))
            pre.view(2, end - begin, 2 * width).add_(bond[begin:end])
            message = layer.forward(rows, scratch)
            _times(message, weight[begin:end])
            out.index_add_(0, plan.centre[rows], message)
        ctx.kept = (weight, plan, layer)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Gradients of the four feature tensors."""
        weight, plan, layer = ctx.kept
        width = weight.shape[1]
        grad = grad.contiguous()
        d_centre = grad.new_zeros((grad.shape[0], 2 * width))
        d_neighbour = torch.zeros_like(d_centre)
        d_bond = grad.new_empty((plan.edges, 2 * width))
        d_weight = grad.new_empty((plan.edges, width))
        for begin, end in _blocks(plan.edges, weight, 2):
            rows, half = slice(2 * begin, 2 * end), end - begin
            scratch = layer.scratch(rows)
            incoming = torch.index_select(grad, 0, plan.centre[rows], out=scratch.narrow[0])
            d_pre, d_message = layer.backward(rows, incoming, weight[begin:end], scratch)
            torch.sum(d_message.view(2, half, width), 0, out=d_weight[begin:end])
            torch.sum(d_pre.view(2, half, 2 * width), 0, out=d_bond[begin:end])
            d_centre.index_add_(0, plan.centre[rows], d_pre)
            d_neighbour.index_add_(0, plan.neighbour[rows], d_pre)
        return d_centre, d_neighbour, d_bond, d_weight, None, None, None, None


@dataclass(frozen=True)
class AnglePlan:
    """Angles between two directed bonds of an atom, and the weights of the angle's own features in one layer.

    Attributes
    ----------
    outer
        (A,) directed outer bonds.
    outer_bond, inner_bond
        (A,) the short bonds of either.
    matrix, matrix_t
        (w, 2w) of the angle's features; its transpose.
    """

    outer: Tensor
    outer_bond: Tensor
    inner_bond: Tensor
    matrix: Tensor
    matrix_t: Tensor

    def gather(
        self, rows: slice, outer_rows: Tensor, inner_rows: Tensor, angles: Tensor, pre: Tensor, wide: Tensor
    ) -> None:
        """Write the first layer's output, outer + inner + angle W, of a block of angles into `pre`."""
        torch.mm(angles[rows], self.matrix, out=pre)
        pre.add_(torch.index_select(outer_rows, 0, self.outer[rows], out=wide))
        pre.add_(torch.index_select(inner_rows, 0, self.inner_bond[rows], out=wide))

    def scatter(self, rows: slice, d_pre: Tensor, d_outer: Tensor, d_inner: Tensor) -> None:
        """Add a block's gradient of `pre` to those of the outer and the inner rows."""
        d_outer.index_add_(0, self.outer[rows], d_pre)
        d_inner.index_add_(0, self.inner_bond[rows], d_pre)


class AngleMessage(torch.autograd.Function):
    """Sum over the angles of each short bond: gate(outer + inner + angle W) * weight of the inner bond."""

    @staticmethod
    def forward(
        ctx: Any,
        outer_rows: Tensor,
        inner_rows: Tensor,
        angles: Tensor,
        weight: Tensor,
        plan: AnglePlan,
        gate: Gate,
        space: Workspace,
        name: str,
    ) -> Tensor:
        """outer_rows (2S, 2w); inner_rows (S, 2w); angles (A, w); weight (S, w) -> (S, w)."""
        out = torch.zeros_like(weight)
        layer = _Pass(gate, space, name, angles.shape[0], weight)
        for begin, end in _blocks(angles.shape[0], weight):
            rows = slice(begin, end)
            scratch = layer.scratch(rows)
            plan.gather(rows, outer_rows, inner_rows, angles, layer.pre[rows], scratch.wide[0])
            message = layer.forward(rows, scratch)
            message.mul_(torch.index_select(weight, 0, plan.inner_bond[rows], out=scratch.narrow[1]))
            out.index_add_(0, plan.outer_bond[rows], message)
        ctx.kept = (weight, outer_rows.shape, plan, layer)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Gradients of the four feature tensors."""
        weight, outer_shape, plan, layer = ctx.kept
        total, width = plan.outer.shape[0], weight.shape[1]
        grad = grad.contiguous()
        d_outer, d_inner = grad.new_zeros(outer_shape), grad.new_zeros((weight.shape[0], 2 * width))
        d_angles = grad.new_empty((total, width))
        d_weight = torch.zeros_like(weight)
        for begin, end in _blocks(total, weight):
            rows = slice(begin, end)
            scratch = layer.scratch(rows)
            incoming = torch.index_select(grad, 0, plan.outer_bond[rows], out=scratch.narrow[0])
            factor = torch.index_select(weight, 0, plan.inner_bond[rows], out=scratch.narrow[4])
            d_pre, d_message = layer.backward(rows, incoming, factor, scratch)
            d_weight.index_add_(0, plan.inner_bond[rows], d_message)
            plan.scatter(rows, d_pre, d_outer, d_inner)
            torch.mm(d_pre, plan.matrix_t, out=d_angles[rows])
        return d_outer, d_inner, d_angles, d_weight, None, None, None, None


class AngleUpdate(torch.autograd.Function):
    """Angle features plus gate(outer + inner + angle W)."""

    @staticmethod
    def forward(
        ctx: Any,
        outer_rows: Tensor,
        inner_rows: Tensor,
        angles: Tensor,
        plan: AnglePlan,
        gate: Gate,
        space: Workspace,
        name: str,
    ) -> Tensor:
        """outer_rows (2S, 2w); inner_rows (S, 2w); angles (A, w) -> (A, w)."""
        out = torch.empty_like(angles)
        layer = _Pass(gate, space, name, angles.shape[0], angles)
        for begin, end in _blocks(angles.shape[0], angles):
            rows = slice(begin, end)
            scratch = layer.scratch(rows)
            plan.gather(rows, outer_rows, inner_rows, angles, layer.pre[rows], scratch.wide[0])
            torch.add(angles[rows], layer.forward(rows, scratch), out=out[rows])
        ctx.kept = (outer_rows.shape, inner_rows.shape, plan, layer)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Gradients of the three feature tensors."""
        outer_shape, inner_shape, plan, layer = ctx.kept
        grad = grad.contiguous()
        d_outer, d_inner = grad.new_zeros(outer_shape), grad.new_zeros(inner_shape)
        d_angles = torch.empty_like(grad)
        for begin, end in _blocks(grad.shape[0], grad):
            rows = slice(begin, end)
            scratch = layer.scratch(rows)
            incoming = scratch.narrow[0].copy_(grad[rows])
            d_pre, _ = layer.backward(rows, incoming, None, scratch)
            plan.scatter(rows, d_pre, d_outer, d_inner)
            torch.addmm(grad[rows], d_pre, plan.matrix_t, out=d_angles[rows])
        return d_outer, d_inner, d_angles, None, None, None, None
