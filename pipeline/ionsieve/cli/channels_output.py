"""What ``ionsieve channels`` and ``ionsieve sieve`` print and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ionsieve.channels import Channels, ChannelSettings
    from ionsieve.records import StaticDescriptors

__all__ = ["show", "show_cavities", "show_motion", "show_sieve", "write"]

_MAX_ROWS = 24  # a disordered frame has a kind of gate for nearly every gate; files hold all
_BOTTLENECKS = 2


def show(record: StaticDescriptors, axis_radius: tuple[float, float, float]) -> None:
    """Print spheres, percolation, barriers and the table of gates."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    r = record.percolation_radius_A or (0.0, 0.0, 0.0)
    console.print(
        f"included sphere {record.included_sphere_A:.3f}, free sphere {record.free_sphere_A:.3f}, "
        f"included along free {record.included_along_free_A:.3f} (diameters, Å)\n"
        f"percolation radius 1D {r[0]:.3f}, 2D {r[1]:.3f}, 3D {r[2]:.3f}; along a, b, c "
        f"{axis_radius[0]:.3f}, {axis_radius[1]:.3f}, {axis_radius[2]:.3f} Å\n"
        f"radii {', '.join(f'{k} {v:.2f}' for k, v in record.radii_A.items())}; "
        f"{record.mobile_ion} {record.ion_radius_A:.2f} Å",
        highlight=False,
    )
    if record.bottlenecks:
        narrowest = [
            f"{b.radius_A:.3f} Å ({'-'.join(b.atoms)}, {b.area_A2:.2f} Å², {b.multiplicity} a cell)"
            for b in record.bottlenecks[:_BOTTLENECKS]
        ]
        more = len(record.bottlenecks) - len(narrowest)
        console.print(
            f"bottlenecks on the ways through: {', '.join(narrowest)}" + (f" and {more} wider" if more else ""),
            highlight=False,
        )
    if record.bvse_barriers_eV is not None:
        text = ", ".join(
            f"{d}D {'none' if b is None else f'{b:.3f}'}" for d, b in enumerate(record.bvse_barriers_eV, 1)
        )
        console.print(f"bond-valence barriers {text} eV (rigid framework: they rank, not predict)", highlight=False)
    count = f"{len(record.gates)} kind{'s' if len(record.gates) != 1 else ''} of gate"
    title = f"{count}; * on the widest way through"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, justify in (
        ("jump", "left"), ("anions", "left"), ("area\nÅ²", "right"), ("circum-\nradius Å", "right"),
        ("free\nradius Å", "right"), ("at", "right"), ("jump\nÅ", "right"), ("per\ncell", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for g in record.gates[:_MAX_ROWS]:
        table.add_row(
            g.jump + (" *" if g.percolating else ""), "-".join(g.anions), f"{g.area_A2:.3f}", f"{g.circumradius_A:.3f}",
            f"{g.free_radius_A:.3f}", f"{g.path_fraction:.2f}", f"{g.jump_length_A:.2f}", str(g.multiplicity),
        )  # fmt: skip
    for jump in record.gateless[:_MAX_ROWS]:
        table.add_row(
            jump.jump + (" *" if jump.percolating else ""), "no gate", "", "", "", "", f"{jump.jump_length_A:.2f}",
            str(jump.multiplicity),
        )  # fmt: skip
    console.print(table)
    left = max(len(record.gates) - _MAX_ROWS, 0) + max(len(record.gateless) - _MAX_ROWS, 0)
    if left:
        console.print(f"and {left} rows more: --out FOLDER writes all to gates.csv", highlight=False)
    for reason in dict.fromkeys(jump.reason for jump in record.gateless):
        names = [f"{j.jump} {j.jump_length_A:.2f} Å" for j in record.gateless if j.reason == reason]
        listed = ", ".join(dict.fromkeys(names[:_MAX_ROWS]))
        console.print(f"no gate, {reason}: {listed}", highlight=False)
    for flag in record.flags:
        console.print(f"{flag.value}: {flag.sentence}", highlight=False)
    if record.reason:
        console.print(f"{record.outcome.value}: {record.reason}", highlight=False)


def show_cavities(cavities: Any, *, err: bool) -> None:
    """Print the cavities that could hold a further ion; nothing when they were not asked for (None)."""
    if cavities is None:
        return
    if not cavities:
        typer.echo("no cavity beside the known sites reaches 0.8 of the ion's radius", err=err)
    for c in cavities[:_MAX_ROWS]:
        x, y, z = c.fractional
        split = f", each over {c.split} positions," if c.split > 1 else ""
        typer.echo(
            f"cavity {c.label}: {c.cavities} a cell{split} at ({x:.3f}, {y:.3f}, {z:.3f}), free radius "
            f"{c.radius:.2f} Å ({c.ratio:.2f} of the ion), {c.nearest_site_A:.2f} Å from the next known site",
            err=err,
        )
    if len(cavities) > _MAX_ROWS:
        typer.echo(f"and {len(cavities) - _MAX_ROWS} more: --out FOLDER writes all to interstitials.json", err=err)


def show_motion(rows: Any) -> None:
    """Print the table of gates in motion."""
    if not rows:
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    title = "gates in motion: mean [5 %, 95 %] over frames"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("jump", "area Å²", "free radius Å", "open", "correlation\nwith jumps"):
        table.add_column(name)
    for g in rows[:_MAX_ROWS]:
        table.add_row(
            g.jump,
            f"{g.area_mean_A2:.2f} [{g.area_q05_A2:.2f}, {g.area_q95_A2:.2f}]",
            f"{g.free_radius_mean_A:.2f} [{g.free_radius_q05_A:.2f}, {g.free_radius_q95_A:.2f}]",
            f"{100 * g.open_fraction:.0f} %",
            "no jumps" if g.jump_correlation is None else f"{g.jump_correlation:+.2f}",
        )
    console = Console()
    console.print(table)
    if len(rows) > _MAX_ROWS:
        console.print(
            f"and {len(rows) - _MAX_ROWS} rows more: --out FOLDER writes all to gates_in_motion.csv", highlight=False
        )


def write(
    out: Path,
    found: Channels,
    record: StaticDescriptors,
    motion: tuple[Any, Any],
    trajectory: Any,
    cavities: Any,
    settings: ChannelSettings,
) -> None:
    """Write record, tables, files for other programs and pictures."""
    from ionsieve.channels import exports, pictures
    from ionsieve.store.folder import write_file

    out.mkdir(parents=True, exist_ok=True)
    write_file(out / "channels.json", record.to_json())
    write_file(out / "gates.csv", exports.gate_table(record.gates, record.gateless))
    write_file(out / "bottlenecks.csv", exports.bottleneck_table(record.bottlenecks))
    write_file(out / "network.cif", exports.network_cif(found))
    write_file(out / "network.xyz", exports.network_xyz(found))
    write_file(
        out / "gates.png", _png(pictures.draw_gates(record.gates, found.ion_radius_A, open_ratio=settings.open_ratio))
    )
    numbers, positions = _atoms_of(found)
    rows, series = motion
    if rows:
        write_file(out / "gates_in_motion.csv", exports.gate_motion_table(rows))
        drawn = pictures.draw_motion(series, found.gate_set, open_ratio=settings.open_ratio)
        write_file(out / "gates_in_motion.png", _png(drawn))
        density, cell = exports.probability_density(
            trajectory.positions, trajectory.cells, found.framework.mobile_indices
        )
        comment = f"probability density of {record.mobile_ion}, 1/Å³"
        write_file(out / "density.cube", exports.cube(density, cell, numbers, positions, comment=comment))
    if found.landscape is not None:
        from ionsieve.channels.bvse import with_way

        field = with_way(found.landscape)
        comment = "bond-valence site energy, eV"
        write_file(out / "bvse.cube", exports.cube(field.energy_eV, field.cell, numbers, positions, comment=comment))
        write_file(out / "bvse_path.xyz", exports.path_xyz(found.framework, field))
        write_file(out / "bvse.png", _png(pictures.draw_landscape(field)))
    if cavities is not None:
        rows = [c.as_mobile_site() for c in cavities]
        write_file(out / "interstitials.json", json.dumps(rows, indent=1) + "\n")


def _png(axes: Any) -> bytes:
    import io

    drawn = io.BytesIO()
    axes.figure.savefig(drawn, format="png", dpi=150)
    return drawn.getvalue()


def _atoms_of(found: Channels) -> tuple[Any, Any]:
    import numpy as np
    from ase.data import atomic_numbers

    f = found.framework
    return np.array([atomic_numbers[s] for s in f.symbols]), f.positions


def show_sieve(rows: list[StaticDescriptors], csv: bool) -> None:
    """Print who would fall and why, as a table or as CSV."""
    from ionsieve.verdicts import Outcome

    def gate(row: StaticDescriptors) -> str:
        if row.limiting_gate_A is not None:
            return f"{row.limiting_gate_A:.3f}"
        return "open" if any(jump.percolating for jump in row.gateless) else "none"

    body = []
    for row in rows:
        radii = row.percolation_radius_A or (0.0, 0.0, 0.0)
        barriers = row.bvse_barriers_eV
        asked = row.settings.get("bvse") or row.settings.get("max_bvse_barrier_eV") is not None
        text = "no parameters" if asked else "not computed"
        if barriers is not None:
            text = ", ".join("none" if b is None else f"{b:.2f}" for b in barriers)
        body.append((row, [row.configuration_id, *(f"{x:.3f}" for x in radii), gate(row), text]))
    if csv:
        import csv as csv_module
        import sys

        writer = csv_module.writer(sys.stdout, lineterminator="\n")
        writer.writerow([
            "configuration", "free sphere Å", "1D Å", "2D Å", "3D Å", "narrowest gate Å", "way over sites",
            "barrier 1D eV", "barrier 2D eV", "barrier 3D eV", "barriers", "outcome", "reason",
        ])  # fmt: skip
        for row, (name, *radii_A, way, barriers_text) in body:
            limit, heights = row.limiting_gate_A, row.bvse_barriers_eV
            writer.writerow([
                name, f"{row.free_sphere_A:.3f}", *radii_A, "" if limit is None else way,
                "gate" if limit is not None else way,
                *("" if b is None else f"{b:.4f}" for b in heights or (None, None, None)),
                barriers_text if heights is None else "computed", row.outcome.value, row.reason,
            ])  # fmt: skip
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    fallen = [row for row in rows if row.outcome is Outcome.SIEVED]
    title = f"{len(fallen)} of {len(rows)} would be sieved out"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    with_barriers = any(line[-1] != "not computed" for _, line in body)
    names = ["configuration", "1D Å", "2D Å", "3D Å", "gate Å", *["barriers eV"] * with_barriers, "verdict"]
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in ("1D Å", "2D Å", "3D Å", "gate Å", "verdict"))
    for row, line in body:
        verdict = "sieved" if row.outcome is Outcome.SIEVED else "passes"
        table.add_row(*(line if with_barriers else line[:-1]), verdict)
    console = Console()
    console.print(table)
    for row in fallen:
        console.print(f"sieved {row.configuration_id}: {row.reason}", highlight=False, markup=False)
    for flag in dict.fromkeys(flag for row in rows for flag in row.flags):
        flagged = ", ".join(row.configuration_id for row in rows if flag in row.flags)
        console.print(f"{flag.value}: {flag.sentence}: {flagged}", highlight=False, markup=False)
