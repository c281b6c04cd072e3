"""Files for other programs: the channel network, the site energy, the density of the mobile ion, tables of gates.

==================  =================================================  =======================
file                content                                            read by
==================  =================================================  =======================
network.cif         framework, mobile sites, cavities (He), windows (Ne)  VESTA, any CIF reader
network.xyz         the same with radius and kind per point (extxyz)   OVITO, ASE
bvse_path.xyz       a way through the site energy at the grid's barrier  OVITO, ASE
*.cube              a scalar field on the cell                         VESTA, OVITO, ASE, VMD
gates.csv           one row per kind of gate                           any table program
bottlenecks.csv     every bottleneck on the percolating paths          any table program
==================  =================================================  =======================
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionsieve.records.channels import Bottleneck, Gate, GatelessJump
from ionsieve.records.measurement import GateMotion

if TYPE_CHECKING:
    from ionsieve.channels.bvse import Landscape
    from ionsieve.channels.description import Channels
    from ionsieve.channels.framework import Framework

__all__ = [
    "bottleneck_table",
    "cube",
    "gate_motion_table",
    "gate_table",
    "network_cif",
    "network_xyz",
    "path_xyz",
    "probability_density",
]

_CAVITY, _WINDOW = "He", "Ne"
_BOHR_A = 0.529177210903


def _points(channels: Channels, min_radius_A: float) -> list[tuple[str, str, NDArray[np.float64], float]]:
    """Return every point as (element, kind, position, radius): framework, sites, cavities, windows of the network."""
    f, net = channels.framework, channels.spheres.network
    rows = [(s, "framework", x, float(r)) for s, x, r in zip(f.symbols, f.positions, f.radii, strict=True)]
    rows += [(f.mobile, f"site:{label}", x, f.ion_radius) for label, x in zip(f.labels, f.sites, strict=True)]
    for x, r in zip(net.nodes, net.node_radius, strict=True):
        if r >= min_radius_A:
            rows.append((_CAVITY, "cavity", x, float(r)))
    for x, r, real in zip(net.window, net.edge_radius, net.is_window, strict=True):
        if real and r >= min_radius_A:
            rows.append((_WINDOW, "window", x, float(r)))
    return rows


def network_cif(channels: Channels, *, min_radius_A: float = 0.3) -> str:
    """Return the network as a CIF.

    Cavities are He, windows Ne, each labelled with its radius; narrower ones left out.
    """
    cell = channels.framework.cell
    lengths = np.linalg.norm(cell, axis=1)
    angles = [
        float(np.degrees(np.arccos(np.clip(cell[i] @ cell[j] / lengths[i] / lengths[j], -1, 1))))
        for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    lines = [
        "data_channels",
        *(f"_cell_length_{n} {v:.6f}" for n, v in zip("abc", lengths, strict=True)),
        *(f"_cell_angle_{n} {v:.6f}" for n, v in zip(("alpha", "beta", "gamma"), angles, strict=True)),
        "_symmetry_space_group_name_H-M 'P 1'",
        "_symmetry_Int_Tables_number 1",
        "loop_",
        "_symmetry_equiv_pos_as_xyz",
        "'x, y, z'",
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
    ]
    inverse = np.linalg.inv(cell)
    for k, (element, kind, x, radius) in enumerate(_points(channels, min_radius_A), start=1):
        u = (x @ inverse) % 1.0
        label = f"{element}{k}_{round(100 * radius)}" if kind in ("cavity", "window") else f"{element}{k}"
        lines.append(f"{label} {element} {u[0]:.6f} {u[1]:.6f} {u[2]:.6f} 1")
    return "\n".join(lines) + "\n"


def network_xyz(channels: Channels, *, min_radius_A: float = 0.3) -> str:
    """Return the network as extended XYZ with columns radius (Å) and kind."""
    rows = _points(channels, min_radius_A)
    lattice = " ".join(f"{v:.8f}" for v in channels.framework.cell.ravel())
    header = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:radius:R:1:kind:S:1 pbc="T T T"'
    body = [f"{e} {x[0]:.6f} {x[1]:.6f} {x[2]:.6f} {r:.4f} {kind}" for e, kind, x, r in rows]
    return "\n".join([str(len(rows)), header, *body]) + "\n"


def path_xyz(framework: Framework, landscape: Landscape) -> str:
    """Return a way through the site energy as extended XYZ: framework, and the mobile ion at every step of the way.

    Columns: kind (framework, path) and site energy above the lowest point, eV (0 for the framework). The way runs on
    beyond the cell, to the image of its start. It is the shortest over the grid's points at the grid's barrier, which
    is that of its highest point; both barriers, the grid's and that between stationary points, are in the header.
    """
    shape = np.array(landscape.energy_eV.shape)
    index = np.round(landscape.path_A @ np.linalg.inv(landscape.cell) * shape).astype(np.int64) % shape
    above = landscape.energy_eV[tuple(index.T)] - landscape.energy_eV.min()
    rows = [(s, x, "framework", 0.0) for s, x in zip(framework.symbols, framework.positions, strict=True)]
    rows += [(framework.mobile, x, "path", float(e)) for x, e in zip(landscape.path_A, above, strict=True)]
    lattice = " ".join(f"{v:.8f}" for v in landscape.cell.ravel())
    header = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:kind:S:1:site_energy_eV:R:1 pbc="T T T"'
    for name, barrier in (("grid_barrier_eV", landscape.grid_barriers_eV[0]), ("barrier_eV", landscape.barriers_eV[0])):
        header += "" if barrier is None else f" {name}={barrier:.4f}"
    body = [f"{s} {x[0]:.6f} {x[1]:.6f} {x[2]:.6f} {kind} {e:.4f}" for s, x, kind, e in rows]
    return "\n".join([str(len(rows)), header, *body]) + "\n"


def cube(field: ArrayLike, cell: ArrayLike, numbers: ArrayLike, positions: ArrayLike, *, comment: str = "") -> str:
    """Return a scalar field (nx, ny, nz) on a periodic cell as a Gaussian cube file (lengths in bohr, field as given).

    Parameters
    ----------
    field, cell
        Values at fractional i/nx, j/ny, k/nz; (3, 3) Å.
    numbers, positions
        Atoms to draw: (N,) and (N, 3) Å.
    """
    values = np.asarray(field, dtype=np.float64)
    matrix = np.asarray(cell, dtype=np.float64) / _BOHR_A
    z, x = np.asarray(numbers, dtype=np.int64), np.asarray(positions, dtype=np.float64) / _BOHR_A
    out = io.StringIO()
    out.write(f"{comment or 'scalar field'}\nfractional grid of the periodic cell, x outermost\n")
    out.write(f"{len(z):5d} {0.0:12.6f} {0.0:12.6f} {0.0:12.6f}\n")
    for n, vector in zip(values.shape, matrix, strict=True):
        v = vector / n
        out.write(f"{n:5d} {v[0]:12.6f} {v[1]:12.6f} {v[2]:12.6f}\n")
    for number, spot in zip(z, x, strict=True):
        out.write(f"{number:5d} {float(number):12.6f} {spot[0]:12.6f} {spot[1]:12.6f} {spot[2]:12.6f}\n")
    for plane in values.reshape(-1, values.shape[2]):
        for begin in range(0, len(plane), 6):
            out.write(" ".join(f"{v:13.5e}" for v in plane[begin : begin + 6]) + "\n")
    return out.getvalue()


def probability_density(
    positions: Any, cells: Any, mobile: ArrayLike, *, spacing_A: float = 0.25
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability density of the mobile ions in the mean cell, 1/Å³, and that cell.

    A voxel is centred on its grid point at fractional i/nx, j/ny, k/nz, where `cube` draws it. The integral over the
    cell is the number of mobile ions.

    Parameters
    ----------
    positions, cells, mobile
        (F, N, 3) Å; (F, 3, 3) or (3, 3) Å; (M,) rows.
    """
    x = np.asarray(positions, dtype=np.float64)[:, np.asarray(mobile, dtype=np.int64)]
    h = np.asarray(cells, dtype=np.float64)
    h = np.broadcast_to(h, (len(x), 3, 3)) if h.ndim == 2 else h
    mean = h.mean(axis=0)
    shape = np.maximum(np.ceil(np.linalg.norm(mean, axis=1) / spacing_A), 1).astype(np.int64)
    fractional = np.einsum("fmi,fij->fmj", x, np.linalg.inv(h)) % 1.0
    index = (np.round(fractional * shape).astype(np.int64) % shape).reshape(-1, 3)
    counts = np.bincount(
        np.ravel_multi_index((index[:, 0], index[:, 1], index[:, 2]), tuple(shape)), minlength=int(shape.prod())
    )
    voxel = abs(float(np.linalg.det(mean))) / float(shape.prod())
    return counts.reshape(tuple(shape)) / (max(len(x), 1) * voxel), mean


def _csv(header: list[str], rows: Iterable[list[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def gate_table(gates: Iterable[Gate], gateless: Iterable[GatelessJump] = ()) -> str:
    """Return gates as CSV, one row per kind of gate; then one per kind of jump without a gate, with the reason."""
    header = ["jump", "anions", "area_A2", "circumradius_A", "free_radius_A", "path_fraction", "jump_length_A",
              "multiplicity", "percolating", "x_A", "y_A", "z_A", "no_gate_because"]  # fmt: skip
    rows: list[list[object]] = [
        [g.jump, "-".join(g.anions), f"{g.area_A2:.4f}", f"{g.circumradius_A:.4f}", f"{g.free_radius_A:.4f}",
         f"{g.path_fraction:.3f}", f"{g.jump_length_A:.4f}", g.multiplicity, g.percolating,
         *(f"{v:.4f}" for v in g.position_A), ""]
        for g in gates
    ]  # fmt: skip
    for jump in gateless:
        length = f"{jump.jump_length_A:.4f}"
        rows.append([jump.jump, *[""] * 5, length, jump.multiplicity, jump.percolating, *[""] * 3, jump.reason])
    return _csv(header, rows)


def bottleneck_table(bottlenecks: Iterable[Bottleneck]) -> str:
    """Return the bottlenecks on the percolating paths as CSV, narrowest first."""
    return _csv(
        ["radius_A", "atoms", "area_A2", "multiplicity", "x_A", "y_A", "z_A"],
        (
            [f"{b.radius_A:.4f}", "-".join(b.atoms), f"{b.area_A2:.4f}", b.multiplicity,
             *(f"{v:.4f}" for v in b.position_A)]
            for b in bottlenecks
        ),
    )  # fmt: skip


def gate_motion_table(gates: Iterable[GateMotion]) -> str:
    """Return gates in motion as CSV, one row per jump type."""
    names = list(GateMotion.model_fields)
    return _csv(names, ([("" if (v := getattr(g, n)) is None else v) for n in names] for g in gates))
