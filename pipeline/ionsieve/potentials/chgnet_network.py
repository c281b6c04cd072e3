"""CHGNet's network, rewritten for molecular dynamics: the same function of the same weights.

Deng et al., Nat. Mach. Intell. 5, 1031 (2023). Against the package's own forward pass:

- A linear layer over a concatenation ``[a_i, b_ij, a_j]`` is the sum of three linear layers, each applied once to an
  atom or bond and then gathered, rather than once to every directed edge and angle.
- Features of bonds longer than the bond graph's cut-off never change, so their linear maps act on the radial basis
  itself.
- Magnetic moments and the last angle update, which nothing reads, are not computed. Parameters are frozen.
- Edge vectors are the leaves of the differentiation: forces and virial follow by sums over edges.

Layout: U undirected edges (first, second); D = 2U directed ones, first->second and then second->first; S short bonds
(inside the bond graph's cut-off), 2S directed; A ordered angles between two directed bonds that leave one atom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

__all__ = ["CHGNetNetwork", "Edges", "LineGraph", "line_graph"]


@dataclass(frozen=True)
class Edges:
    """Undirected edges of a batch: atoms (U,), and vectors (U, 3), Å, from first to second."""

    first: Tensor
    second: Tensor
    vectors: Tensor


@dataclass(frozen=True)
class LineGraph:
    """Short bonds and the angles between them.

    Attributes
    ----------
    short
        (S,) rows of the undirected edges within the bond graph's cut-off.
    atom
        (2S,) atom that each directed short bond leaves; directed bonds are sorted by it.
    bond
        (2S,) the short bond (0..S-1) of each directed one.
    sign
        (2S, 1) +1 where the directed bond runs along the edge's vector, else -1.
    outer, inner
        (A,) the two directed bonds of each angle, sorted by `outer`.
    """

    short: Tensor
    atom: Tensor
    bond: Tensor
    sign: Tensor
    outer: Tensor
    inner: Tensor


def line_graph(first: Tensor, second: Tensor, distances: Tensor, cutoff_A: float, n_atoms: int) -> LineGraph:
    """Return all ordered pairs of distinct directed bonds within `cutoff_A` that leave the same atom."""
    short = torch.nonzero(distances <= cutoff_A).squeeze(1)
    count = short.shape[0]
    leaves = torch.cat([first.index_select(0, short), second.index_select(0, short)])
    atom, order = torch.sort(leaves, stable=True)
    degree = torch.bincount(atom, minlength=n_atoms)
    start = torch.cumsum(degree, 0) - degree
    partners = degree.index_select(0, atom)  # of each directed bond, itself included
    outer = torch.repeat_interleave(partners)
    begin = torch.cumsum(partners, 0) - partners
    offset = start.index_select(0, atom) - begin
    inner = torch.arange(outer.shape[0], device=first.device) + offset.index_select(0, outer)
    keep = torch.nonzero(inner != outer).squeeze(1)
    return LineGraph(
        short=short,
        atom=atom,
        bond=torch.where(order < count, order, order - count),
        sign=torch.where(order < count, 1.0, -1.0).to(distances.dtype).unsqueeze(1),
        outer=outer.index_select(0, keep),
        inner=inner.index_select(0, keep),
    )


class _Gate(nn.Module):
    """Second half of a gated MLP: silu(norm(core)) * sigmoid(norm(gate)), after an optional hidden layer."""

    def __init__(self, source: nn.Module, width: int, *, hidden: bool) -> None:
        super().__init__()
        self.width = width
        self.hidden = hidden
        core, gate = source.mlp_core.layers, source.mlp_gate.layers
        if hidden:
            self.core_weight, self.core_bias = core[-1].weight, core[-1].bias
            self.gate_weight, self.gate_bias = gate[-1].weight, gate[-1].bias
        self.core_norm, self.gate_norm = source.bn1, source.bn2

    def forward(self, first: Tensor) -> Tensor:
        """(rows, 2 width) of core and gate after the first linear layer -> (rows, width)."""
        core, gate = first[:, : self.width], first[:, self.width :]
        if self.hidden:
            core = torch.addmm(self.core_bias, silu(core), self.core_weight.t())
            gate = torch.addmm(self.gate_bias, silu(gate), self.gate_weight.t())
        shape = (self.width,)
        core = layer_norm(core, shape, self.core_norm.weight, self.core_norm.bias, self.core_norm.eps)
        gate = layer_norm(gate, shape, self.gate_norm.weight, self.gate_norm.bias, self.gate_norm.eps)
        return silu(core) * torch.sigmoid(gate)


def _first_layer(source: nn.Module, widths: list[int]) -> tuple[list[Tensor], Tensor]:
    """Split the first linear layers of core and gate by input: [(w_i, 2 width)], and their bias (2 width,)."""
    core, gate = (
        next(m for m in part.layers if isinstance(m, nn.Linear)) for part in (source.mlp_core, source.mlp_gate)
    )
    weight = torch.cat([core.weight, gate.weight]).detach()
    bias = torch.cat([core.bias, gate.bias]).detach()
    return [part.t().contiguous() for part in weight.split(widths, dim=1)], bias


class CHGNetNetwork(nn.Module):
    """Per-atom energies of a batch from its edges, with the weights of a loaded `chgnet.model.CHGNet`.

    Parameters
    ----------
    model
        The package's model on the CPU; its layers are copied.
    dtype, device
        In which to compute.
    """

    def __init__(self, model: Any, *, dtype: torch.dtype, device: str) -> None:
        super().__init__()
        width = model.atom_fea_dim
        self.width = width
        self.blocks = model.n_conv
        ag, bg = model.bond_basis_expansion.rbf_expansion_ag, model.bond_basis_expansion.rbf_expansion_bg
        self.cutoff_A, self.bond_cutoff_A = float(ag.smooth_cutoff.cutoff), float(bg.smooth_cutoff.cutoff)
        self.power = int(ag.smooth_cutoff.p)
        self._tables: list[str] = []
        self._keep("frequencies", ag.frequencies)
        self._keep("bond_frequencies", bg.frequencies)
        self._keep("angle_frequencies", model.angle_basis_expansion.fourier_expansion.frequencies)
        self._keep("atom_embedding", model.atom_embedding.embedding.weight)
        self._keep("bond_embedding", model.bond_embedding.weight.t())
        self._keep("edge_weight", model.bond_weights_ag.weight.t())
        self._keep("bond_weight", model.bond_weights_bg.weight.t())
        self._keep("angle_embedding", model.angle_embedding.weight.t())
        self._keep("reference", model.composition_model.fc.weight.view(-1))
        embed = model.bond_embedding.weight.t()
        edge_maps = []
        for k, layer in enumerate(model.atom_conv_layers):
            (centre, bond, neighbour), bias = _first_layer(layer.twoBody_atom, [width] * 3)
            self._keep(f"atom{k}_ends", torch.cat([centre, neighbour], dim=1))
            self._keep(f"atom{k}_bond", bond)
            self._keep(f"atom{k}_bias", bias)
            self._keep(f"atom{k}_out", layer.mlp_out.layers[-1].weight.t())
            edge_maps.append(embed @ bond)
        self._keep("edge_maps", torch.cat(edge_maps, dim=1))
        self.atom_gates = nn.ModuleList(_Gate(m.twoBody_atom, width, hidden=True) for m in model.atom_conv_layers)
        for k, layer in enumerate(model.bond_conv_layers):
            (outer, inner, angle, centre), bias = _first_layer(layer.twoBody_bond, [width] * 4)
            self._keep(f"bond{k}_outer", outer)
            self._keep(f"bond{k}_inner", inner)
            self._keep(f"bond{k}_angle", angle)
            self._keep(f"bond{k}_centre", centre)
            self._keep(f"bond{k}_bias", bias)
            self._keep(f"bond{k}_out", layer.mlp_out.layers[-1].weight.t())
        self.bond_gates = nn.ModuleList(_Gate(m.twoBody_bond, width, hidden=True) for m in model.bond_conv_layers)
        for k, layer in enumerate(list(model.angle_layers)[:-1]):
            (outer, inner, angle, centre), bias = _first_layer(layer.twoBody_bond, [width] * 4)
            self._keep(f"angle{k}_outer", outer)
            self._keep(f"angle{k}_inner", inner)
            self._keep(f"angle{k}_angle", angle)
            self._keep(f"angle{k}_centre", centre)
            self._keep(f"angle{k}_bias", bias)
        self.angle_gates = nn.ModuleList(
            _Gate(m.twoBody_bond, width, hidden=False) for m in list(model.angle_layers)[:-1]
        )
        self.readout_norm, self.readout = model.readout_norm, model.mlp
        self.requires_grad_(False)
        self.eval()
        self.to(device=device, dtype=dtype)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor.detach().clone().contiguous())

    def _bessel(self, distances: Tensor, frequencies: Tensor, cutoff_A: float) -> Tensor:
        """sqrt(2/c) sin(f r/c)/r times the polynomial envelope of order `power`."""
        x = distances / cutoff_A
        p = self.power
        power = x**p
        envelope = 1.0 - (p + 1) * (p + 2) / 2 * power + p * (p + 2) * power * x - p * (p + 1) / 2 * power * x * x
        envelope = torch.where(x < 1, envelope, torch.zeros_like(x))
        scale = math.sqrt(2.0 / cutoff_A) * envelope / distances
        return torch.sin(x.unsqueeze(1) * frequencies) * scale.unsqueeze(1)

    def _fourier(self, cosine: Tensor) -> Tensor:
        angle = torch.acos(cosine * (1 - 1e-6))
        phase = angle.unsqueeze(1) * self.angle_frequencies
        constant = torch.full_like(angle, 1 / math.sqrt(2.0)).unsqueeze(1)
        return torch.cat([constant, torch.sin(phase), torch.cos(phase)], dim=1) / math.sqrt(math.pi)

    def forward(self, numbers: Tensor, edges: Edges, graph: LineGraph) -> Tensor:
        """Return the energy of each atom (N,), eV, composition reference included."""
        width, n_atoms = self.width, numbers.shape[0]
        distances = torch.linalg.vector_norm(edges.vectors, dim=1)
        basis = self._bessel(distances, self.frequencies, self.cutoff_A)
        weight = basis @ self.edge_weight
        maps = (basis @ self.edge_maps).split(2 * width, dim=1)
        centre = torch.cat([edges.first, edges.second])
        neighbour = torch.cat([edges.second, edges.first])

        n_short = graph.short.shape[0]
        near = distances.index_select(0, graph.short)
        bond_weight = self._bessel(near, self.bond_frequencies, self.bond_cutoff_A) @ self.bond_weight
        start = basis.index_select(0, graph.short) @ self.bond_embedding
        unit = edges.vectors.index_select(0, graph.short) / near.unsqueeze(1)
        directed = unit.index_select(0, graph.bond) * graph.sign
        cosine = (directed.index_select(0, graph.outer) * directed.index_select(0, graph.inner)).sum(1)
        angles = self._fourier(cosine) @ self.angle_embedding
        outer_bond = graph.bond.index_select(0, graph.outer)
        inner_bond = graph.bond.index_select(0, graph.inner)
        angle_weight = bond_weight.index_select(0, outer_bond) * bond_weight.index_select(0, inner_bond)

        atoms = self.atom_embedding.index_select(0, numbers - 1)
        bonds = start
        for k in range(self.blocks):
            ends = atoms @ self.get_buffer(f"atom{k}_ends")
            from_bond = maps[k] + self.get_buffer(f"atom{k}_bias")
            if k and n_short:
                change = (bonds - start) @ self.get_buffer(f"atom{k}_bond")
                from_bond = from_bond.index_add(0, graph.short, change)
            first = (
                ends[:, : 2 * width].index_select(0, centre)
                + ends[:, 2 * width :].index_select(0, neighbour)
                + torch.cat([from_bond, from_bond])
            )
            message = self.atom_gates[k](first) * torch.cat([weight, weight])
            gathered = message.new_zeros((n_atoms, width)).index_add(0, centre, message)
            atoms = atoms + gathered @ self.get_buffer(f"atom{k}_out")
            if k == self.blocks - 1 or n_short == 0:
                continue
            first = self._angle_first(f"bond{k}", atoms, bonds, angles, graph, inner_bond)
            message = self.bond_gates[k](first) * angle_weight
            gathered = message.new_zeros((n_short, width)).index_add(0, outer_bond, message)
            bonds = bonds + gathered @ self.get_buffer(f"bond{k}_out")
            if k < self.blocks - 2:
                first = self._angle_first(f"angle{k}", atoms, bonds, angles, graph, inner_bond)
                angles = angles + self.angle_gates[k](first)
        if self.readout_norm is not None:
            atoms = self.readout_norm(atoms)
        return self.readout(atoms).squeeze(1) + self.reference.index_select(0, numbers - 1)

    def _angle_first(
        self, layer: str, atoms: Tensor, bonds: Tensor, angles: Tensor, graph: LineGraph, inner_bond: Tensor
    ) -> Tensor:
        outer = (bonds @ self.get_buffer(f"{layer}_outer")).index_select(0, graph.bond)
        centre = (atoms @ self.get_buffer(f"{layer}_centre") + self.get_buffer(f"{layer}_bias")).index_select(
            0, graph.atom
        )
        inner = bonds @ self.get_buffer(f"{layer}_inner")
        return (
            (outer + centre).index_select(0, graph.outer)
            + inner.index_select(0, inner_bond)
            + angles @ self.get_buffer(f"{layer}_angle")
        )
