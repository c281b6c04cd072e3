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

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ionsieve.errors import SetupError
from ionsieve.potentials.chgnet_kernels import (
    AngleMessage,
    AnglePlan,
    AngleUpdate,
    AtomMessage,
    AtomPlan,
    Gate,
    Workspace,
    centred,
)

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
    degree = atom.new_zeros(n_atoms).index_add_(0, atom, torch.ones_like(atom))  # bincount waits for the device
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


@dataclass(frozen=True)
class _Layer:
    """One gated layer: the first linear map split by its inputs (each (width, 2 width)), its bias, and the gate."""

    maps: tuple[Tensor, ...]
    angle_t: Tensor
    bias: Tensor
    gate: Gate
    out: Tensor

    @classmethod
    def build(cls, source: Any, inputs: int, width: int, out: Any, keep: _Keep) -> _Layer:
        """Take the weights of a `chgnet` gated perceptron that reads `inputs` concatenated features."""
        core, gate = (list(part.layers) for part in (source.mlp_core, source.mlp_gate))
        first_core, first_gate = (next(m for m in layers if isinstance(m, nn.Linear)) for layers in (core, gate))
        hidden = first_core is not core[-1]
        # in float64, so that folding the mean of the layer norm costs no precision
        weight = torch.cat([first_core.weight, first_gate.weight]).double().t()
        bias = torch.cat([first_core.bias, first_gate.bias]).double()
        if not hidden:
            weight, bias = centred(weight, 2), centred(bias, 2)
        second = [centred(m[-1].weight.double().t()) if hidden else None for m in (core, gate)]
        norms = (source.bn1, source.bn2)
        maps = tuple(keep(part) for part in torch.split(weight, [width] * inputs))
        return cls(
            maps=maps,
            angle_t=keep(maps[2].t()),
            bias=keep(bias),
            gate=Gate(
                core=keep(second[0]) if second[0] is not None else None,
                gate=keep(second[1]) if second[1] is not None else None,
                core_t=keep(second[0].t()) if second[0] is not None else None,
                gate_t=keep(second[1].t()) if second[1] is not None else None,
                bias=keep(centred(torch.cat([core[-1].bias, gate[-1].bias]).double(), 2)) if hidden else None,
                gamma=keep(torch.cat([n.weight for n in norms])),
                beta=keep(torch.cat([n.bias for n in norms])),
                eps=float(norms[0].eps),
            ),
            out=keep(out.layers[-1].weight.t()) if out is not None else keep(torch.zeros(0, width)),
        )


class _Keep:
    """Copies a parameter to the device and type of the network, frozen."""

    def __init__(self, dtype: torch.dtype, device: str) -> None:
        self._dtype, self._device = dtype, device

    def __call__(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to(device=self._device, dtype=self._dtype, copy=True).contiguous()


class CHGNetNetwork:
    """Per-atom energies of a batch from its edges, with the weights of a loaded `chgnet.model.CHGNet`.

    Parameters
    ----------
    model
        The package's model on the CPU; its weights are copied.
    dtype, device
        In which to compute.

    Raises
    ------
    SetupError
        When the file holds an architecture other than that of the published models.
    """

    def __init__(self, model: Any, *, dtype: torch.dtype, device: str) -> None:
        _check_architecture(model)
        keep = _Keep(dtype, device)
        self.dtype, self.device = dtype, torch.device(device)
        self.width = width = int(model.atom_fea_dim)
        ag, bg = model.bond_basis_expansion.rbf_expansion_ag, model.bond_basis_expansion.rbf_expansion_bg
        self.cutoff_A, self.bond_cutoff_A = float(ag.smooth_cutoff.cutoff), float(bg.smooth_cutoff.cutoff)
        self._power = int(ag.smooth_cutoff.p)
        self._frequencies = keep(ag.frequencies)
        self._bond_frequencies = keep(bg.frequencies)
        self._angle_frequencies = keep(model.angle_basis_expansion.fourier_expansion.frequencies)
        self._atom_embedding = keep(model.atom_embedding.embedding.weight)
        self._bond_embedding = keep(model.bond_embedding.weight.t())
        self._edge_weight = keep(model.bond_weights_ag.weight.t())
        self._bond_weight = keep(model.bond_weights_bg.weight.t())
        self._angle_embedding = keep(model.angle_embedding.weight.t())
        self._reference = keep(model.composition_model.fc.weight.view(-1))
        self._atom_layers = [_Layer.build(m.twoBody_atom, 3, width, m.mlp_out, keep) for m in model.atom_conv_layers]
        self._bond_layers = [_Layer.build(m.twoBody_bond, 4, width, m.mlp_out, keep) for m in model.bond_conv_layers]
        self._angle_layers = [_Layer.build(m.twoBody_bond, 4, width, None, keep) for m in list(model.angle_layers)[:-1]]
        self._edge_maps = torch.cat([self._bond_embedding @ layer.maps[1] for layer in self._atom_layers], dim=1)
        self._readout = copy.deepcopy(nn.Sequential(model.readout_norm, model.mlp)).to(device=device, dtype=dtype)
        self._readout.requires_grad_(False).eval()
        self._space = Workspace()

    def _bessel(self, distances: Tensor, frequencies: Tensor, cutoff_A: float) -> Tensor:
        """sqrt(2/c) sin(f r/c)/r times the polynomial envelope of order p."""
        x = distances / cutoff_A
        p = self._power
        power = x**p
        envelope = 1.0 - (p + 1) * (p + 2) / 2 * power + p * (p + 2) * power * x - p * (p + 1) / 2 * power * x * x
        envelope = torch.where(x < 1, envelope, torch.zeros_like(x))
        scale = math.sqrt(2.0 / cutoff_A) * envelope / distances
        return torch.sin(x.unsqueeze(1) * frequencies) * scale.unsqueeze(1)

    def _fourier(self, cosine: Tensor) -> Tensor:
        """[1/sqrt(2), sin(f t), cos(f t)] / sqrt(pi) of the angle t; the factor 1 - 1e-6 is the package's."""
        phase = torch.acos(cosine * (1 - 1e-6)).unsqueeze(1) * self._angle_frequencies
        constant = torch.full_like(cosine, 1 / math.sqrt(2.0)).unsqueeze(1)
        return torch.cat([constant, torch.sin(phase), torch.cos(phase)], dim=1) / math.sqrt(math.pi)

    def atom_energies(self, numbers: Tensor, edges: Edges, graph: LineGraph) -> Tensor:
        """Return the energy of each atom (N,), eV, composition reference included; differentiable in the vectors."""
        width, last = self.width, len(self._atom_layers) - 1
        distances = torch.linalg.vector_norm(edges.vectors, dim=1)
        basis = self._bessel(distances, self._frequencies, self.cutoff_A)
        weight = basis @ self._edge_weight
        from_basis = torch.split(basis @ self._edge_maps, 2 * width, dim=1)
        plan = AtomPlan.build(edges.first, edges.second)

        near = distances.index_select(0, graph.short)
        start = basis.index_select(0, graph.short) @ self._bond_embedding
        bond_weight = self._bessel(near, self._bond_frequencies, self.bond_cutoff_A) @ self._bond_weight
        directed = (edges.vectors.index_select(0, graph.short) / near.unsqueeze(1)).index_select(0, graph.bond)
        directed = directed * graph.sign
        cosine = (directed.index_select(0, graph.outer) * directed.index_select(0, graph.inner)).sum(1)
        angles = self._fourier(cosine) @ self._angle_embedding
        indices = (
            graph.outer,
            graph.bond.index_select(0, graph.outer),
            graph.bond.index_select(0, graph.inner),
        )

        atoms = self._atom_embedding.index_select(0, numbers - 1)
        bonds = start
        for k, layer in enumerate(self._atom_layers):
            bond_rows = from_basis[k] + layer.bias
            if k:
                bond_rows = bond_rows.index_add(0, graph.short, (bonds - start) @ layer.maps[1])
            message = _apply(
                AtomMessage,
                atoms @ layer.maps[0],
                atoms @ layer.maps[2],
                bond_rows,
                weight,
                plan,
                layer.gate,
                self._space,
                f"a{k}",
            )
            atoms = atoms + message @ layer.out
            if k == last:
                break
            layer = self._bond_layers[k]
            outer, inner = _angle_rows(layer, atoms, bonds, graph)
            turns = AnglePlan(*indices, layer.maps[2], layer.angle_t)
            message = _apply(AngleMessage, outer, inner, angles, bond_weight, turns, layer.gate, self._space, f"b{k}")
            bonds = bonds + (message * bond_weight) @ layer.out
            if k < last - 1:
                layer = self._angle_layers[k]
                outer, inner = _angle_rows(layer, atoms, bonds, graph)
                turns = AnglePlan(*indices, layer.maps[2], layer.angle_t)
                angles = _apply(AngleUpdate, outer, inner, angles, turns, layer.gate, self._space, f"c{k}")
        energies: Tensor = self._readout(atoms).squeeze(1)
        return energies + self._reference.index_select(0, numbers - 1)


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def _angle_rows(layer: _Layer, atoms: Tensor, bonds: Tensor, graph: LineGraph) -> tuple[Tensor, Tensor]:
    """Return what an angle's outer directed bond (with its atom and the bias) and its inner bond contribute."""
    outer = (bonds @ layer.maps[0]).index_select(0, graph.bond)
    centre = (atoms @ layer.maps[3] + layer.bias).index_select(0, graph.atom)
    return outer + centre, bonds @ layer.maps[1]


def _check_architecture(model: Any) -> None:
    layers = [m.twoBody_atom for m in model.atom_conv_layers]
    good = (
        model.mlp_first
        and model.is_intensive
        and all(layer is not None for layer in [*model.bond_conv_layers, *model.angle_layers])
        and all(layer.norm == "layer" for layer in layers)
        and all(m.mlp_out.layers[-1].bias is None for m in [*model.atom_conv_layers, *model.bond_conv_layers])
        and all(m.atom_norm is None for m in model.atom_conv_layers)
        and type(layers[0].activation).__name__ == "SiLU"
        and model.composition_model is not None
    )
    if not good:
        raise SetupError(
            "this CHGNet file has another architecture than the published models",
            key="potential.path",
            cause="the fast path knows CHGNet 0.3.0, its r2SCAN transfer and models fine-tuned from them",
            remedy="use it through the ASE door: name: ase:your_module:factory",
        )
