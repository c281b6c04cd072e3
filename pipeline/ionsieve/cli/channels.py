"""``ionsieve channels`` and ``ionsieve sieve``: bottleneck geometry of anything, and who would fall in the sieve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ionsieve.errors import InputError

if TYPE_CHECKING:
    from ionsieve.channels import Channels, ChannelSettings
    from ionsieve.records import Candidate, StaticDescriptors

__all__ = ["register"]

_COLLAPSED = 0.75  # of a bond's length in a frame: what its length between mean positions must keep
_SUFFIXES = (".cif", ".vasp", ".xyz", ".extxyz", ".traj", ".h5", ".h5md", ".yaml", ".json")


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(rich_help_panel="Tools")
    def channels(
        source: Annotated[
            str, typer.Argument(help="Structure (CIF, POSCAR, ...), trajectory, or the name of a prototype.")
        ],
        mobile: Annotated[str, typer.Option(help="Element that moves, for example Na.")],
        out: Annotated[
            Path | None, typer.Option("--out", "-o", help="Folder for records, tables, files, plots.")
        ] = None,
        charges: Annotated[
            str, typer.Option(help="Oxidation states, for example Na=1,P=5,S=-2. Unset: from the file, else guessed.")
        ] = "",
        sites: Annotated[
            Path | None,
            typer.Option(help="Structure file, same cell, whose atoms of the mobile element are the sites."),
        ] = None,
        bvse: Annotated[bool, typer.Option("--bvse", help="Also the bond-valence landscape and its barriers.")] = False,
        interstitials: Annotated[
            bool, typer.Option("--interstitials", help="Also the cavities that could hold a further ion.")
        ] = False,
        min_jump: Annotated[
            float, typer.Option(min=0.0, help="Sites nearer than this, Å, are positions in one cavity: no gate.")
        ] = 0.9,
        start: Annotated[int, typer.Option(help="First frame of a trajectory.")] = 0,
        stop: Annotated[int | None, typer.Option(help="End before this frame.")] = None,
        stride: Annotated[int, typer.Option(help="Take every n-th frame.")] = 1,
        as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    ) -> int:
        """Spheres, percolation and bottlenecks of a structure; along a trajectory also how the gates move."""
        from ionsieve.channels import ChannelSettings, describe, find_interstitials, judge

        settings = ChannelSettings(bvse=bvse, min_jump_length_A=min_jump)
        structure, trajectory, given, frame = _load(source, mobile, start, stop, stride)
        if sites is not None:
            given = _sites_of(sites, mobile, _cell_of(structure))
        found = describe(
            structure,
            mobile,
            oxidation_states=_charges(charges) or None,
            mobile_sites_A=given[0] if given else None,
            mobile_site_labels=given[1] if given else None,
            settings=settings,
        )
        outcome, reason, flags = judge(found, settings)
        record = found.record(
            Path(source).stem, outcome=outcome, reason=reason, flags=flags, settings=settings.model_dump(mode="json")
        )
        motion = _motion(found, trajectory, settings) if trajectory is not None else ((), None)
        if as_json:
            typer.echo(record.to_json(), nl=False)
        else:
            _print(record, found.axis_radius_A)
            _print_motion(motion[0])
            if trajectory is not None and given is None:
                where = "the first frame" if frame is None else f"frame {frame} too"
                typer.echo(f"sites: where the ions are in {where}; --sites names the crystal's own", err=True)
        if frame is not None:
            typer.echo(
                f"framework: as in frame {frame} of those taken, the nearest to the mean: polyanions turn, and the "
                "mean of their atoms' positions would collapse onto their centres",
                err=True,
            )
        cavities = find_interstitials(found.framework) if interstitials else ()
        for c in cavities:
            x, y, z = c.fractional
            typer.echo(
                f"cavity {c.label}: {len(c.positions)} a cell at ({x:.3f}, {y:.3f}, {z:.3f}), free radius "
                f"{c.radius:.2f} Å ({c.ratio:.2f} of the ion), {c.nearest_site_A:.2f} Å from the next known site"
            )
        if out is not None:
            _write(out, found, record, motion, trajectory, cavities, settings)
            typer.echo(f"wrote {out}", err=as_json)
        return 0

    @app.command(rich_help_panel="Structures")
    def sieve(
        campaign: Annotated[str, typer.Argument(help="Campaign YAML, or the name of a shipped one.")],
        csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of the table.")] = False,
    ) -> int:
        """Show which candidates of a campaign the static sieve would exclude, with numbers and reasons.

        Runs no dynamics. Candidates that cannot be built are listed with the reason, and the exit code is 3.
        """
        from rich.console import Console
        from rich.progress import track

        from ionsieve.campaign import load_campaign, located
        from ionsieve.generate import configure, expand
        from ionsieve.stages.sieve import sieve_configuration
        from ionsieve.verdicts import Outcome

        plan = load_campaign(campaign)
        with located(campaign):
            candidates = expand(plan.generate)
        rows: list[StaticDescriptors] = []
        refused: list[Candidate] = []
        console = Console(stderr=True)
        for candidate in track(candidates, description="sieving", console=console, disable=not console.is_terminal):
            done, configurations = configure(candidate, plan.generate, seed=plan.seed)
            if done.outcome is not Outcome.COMPLETED:
                refused.append(done)
            rows += [sieve_configuration(c, done.mobile_ion, plan.sieve) for c in configurations]
        _print_sieve(rows, csv)
        if refused:  # beside the table: they have no structure, so no numbers
            typer.echo(f"{len(refused)} of {len(candidates)} candidates refused, so without a row:", err=True)
            for c in refused:
                typer.echo(f"  {c.candidate_id}: {c.outcome.sentence}\n    {c.reason}", err=True)
        return 3 if refused else 0


def _charges(text: str) -> dict[str, float]:
    out = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        element, _, value = part.partition("=")
        try:
            out[element.strip()] = float(value)
        except ValueError:
            raise InputError(
                "not an oxidation state", key="--charges", found=part, expected="Element=number, for example Zr=4"
            ) from None
    return out


def _load(source: str, mobile: str, start: int, stop: int | None, stride: int) -> tuple[Any, Any, Any, int | None]:
    """Return structure, trajectory (or None) and mobile sites with labels (or None) for whatever was named.

    Last, the frame that stands for the framework where the mean of a trajectory cannot.
    """
    path = Path(source)
    if not path.exists():
        if len(path.parts) > 1 or path.suffix.lower() in _SUFFIXES:
            raise InputError(
                "no such file",
                where=source,
                expected="a structure, a trajectory, or the name of a prototype",
                remedy="check the path; `ionsieve prototypes` lists the names",
            )
        from ionsieve.generate import prototypes

        prototype = prototypes.load(source)
        if prototype.mobile_ion != mobile:
            raise InputError(
                f"the mobile ion of {source} is {prototype.mobile_ion}", key="--mobile", found=mobile,
                remedy=f"--mobile {prototype.mobile_ion}",
            )  # fmt: skip
        return (*_of_prototype(prototype), None)
    if path.suffix.lower() == ".cif":
        return _read_structure(path), None, None, None
    from ionsieve.trajectory.foreign import read_any

    frames = read_any(path, start=start, stop=stop, stride=stride, frame_interval_fs=1.0)
    import ase.io
    import numpy as np
    from ase import Atoms

    periodic: Any = True
    if path.suffix.lower() not in (".h5", ".h5md", ".hdf5"):
        periodic = ase.io.read(path, index=0).pbc
    positions, cell = frames.positions[0].copy(), frames.cells.mean(axis=0)
    frame = None
    if len(frames.positions) > 1:  # gates are found in the mean framework; ions that travel have no mean
        stays = frames.numbers != _number(mobile)
        mean = frames.positions[:, stays].mean(axis=0)
        if _collapsed(frames.numbers[stays], frames.positions[0][stays], mean, frames.cells[0], cell):
            frame = int(np.argmin(np.square(frames.positions[:, stays] - mean).sum(axis=(1, 2))))
            positions, cell = frames.positions[frame].copy(), frames.cells[frame]
        else:
            positions[stays] = mean
    reference = Atoms(numbers=frames.numbers, positions=positions, cell=cell, pbc=periodic)
    return reference, frames if len(frames.positions) > 1 else None, None, frame


def _collapsed(numbers: Any, real: Any, mean: Any, real_cell: Any, mean_cell: Any) -> bool:
    """Whether averaging has drawn bonded atoms together: polyanions that turn.

    A group that turns between two equivalent orientations already shortens the mean of its bonds to 0.58 (a two-fold
    turn of a tetrahedron); thermal motion and libration leave about 0.9 and more.
    """
    import numpy as np
    from ase import Atoms
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    from ionsieve.geometry.cells import minimum_image

    atoms = Atoms(numbers=numbers, positions=real, cell=real_cell, pbc=True)
    i, j = neighbor_list("ij", atoms, 1.25 * covalent_radii[numbers])
    i, j = i[i < j], j[i < j]
    length = np.linalg.norm(minimum_image(real[j] - real[i], real_cell), axis=1)
    return bool(np.any(np.linalg.norm(minimum_image(mean[j] - mean[i], mean_cell), axis=1) < _COLLAPSED * length))


def _cell_of(structure: Any) -> Any:
    return structure.lattice.matrix if hasattr(structure, "lattice") else structure.cell.array


def _number(element: str) -> int:
    from ase.data import atomic_numbers

    if element not in atomic_numbers:
        raise InputError("not an element", key="--mobile", found=element, expected="a symbol, for example Na")
    return int(atomic_numbers[element])


def _of_prototype(prototype: Any) -> tuple[Any, None, Any]:
    import numpy as np

    sites, labels = [], []
    for site in prototype.sites:
        if site.mobile:
            sites += (np.asarray(site.positions) @ prototype.cell).tolist()
            labels += [site.label] * len(site.positions)
    return _read_structure(Path(prototype.location).with_suffix(".cif")), None, (sites, labels)


def _read_structure(path: Path) -> Any:
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifParser

    try:
        if path.suffix.lower() != ".cif":
            return Structure.from_file(path)
        parser = CifParser(path, occupancy_tolerance=1.01, site_tolerance=1e-4)
        return parser.parse_structures(primitive=False, on_error="ignore")[0]
    except (ValueError, LookupError, TypeError, AssertionError, OSError) as error:
        raise InputError(
            "not a readable structure",
            where=str(path),
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            expected="a crystal: cell, symmetry and atom sites",
            remedy="open it in VESTA, or give the structure as CIF, POSCAR or extxyz",
        ) from error


def _sites_of(path: Path, mobile: str, cell: Any) -> tuple[Any, list[str]]:
    """Mobile sites of a structure file, placed into `cell` by their fractional coordinates."""
    import numpy as np

    structure = _read_structure(path)
    atoms = [s for s in structure if mobile in {getattr(e, "symbol", str(e)) for e in s.species.elements}]
    if not atoms:
        raise InputError(f"the file holds no {mobile}", key="--sites", where=str(path))
    own, wanted = np.array(structure.lattice.abc), np.linalg.norm(np.asarray(cell), axis=1)
    if np.any(np.abs(own / wanted - 1) > 0.1):
        raise InputError(
            "the sites belong to another cell",
            key="--sites",
            where=str(path),
            found=f"{own.round(2).tolist()} Å",
            expected=f"about {wanted.round(2).tolist()} Å",
            cause="typically the unit cell beside a trajectory of a supercell",
            remedy="write the sites in the cell of the trajectory",
        )
    return [s.frac_coords @ np.asarray(cell) for s in atoms], [s.label or mobile for s in atoms]


def _motion(found: Channels, trajectory: Any, settings: ChannelSettings) -> tuple[Any, Any]:
    from ionsieve.channels import gates_along, summarise_gates
    from ionsieve.channels.motion import crossings

    gates = found.gate_set
    series = gates_along(trajectory.positions, trajectory.cells, gates)
    passages = crossings(trajectory.positions, trajectory.cells, gates, found.framework.mobile_indices)
    return summarise_gates(series, gates, open_ratio=settings.open_ratio, passages=passages), series


def _print(record: StaticDescriptors, axis_radius: tuple[float, float, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    r = record.percolation_radius_A or (0.0, 0.0, 0.0)
    console.print(
        f"included sphere {record.included_sphere_A:.3f} Å, free sphere {record.free_sphere_A:.3f} Å, "
        f"included along free {record.included_along_free_A:.3f} Å (diameters)\n"
        f"percolation radius 1D {r[0]:.3f}, 2D {r[1]:.3f}, 3D {r[2]:.3f} Å; along a, b, c "
        f"{axis_radius[0]:.3f}, {axis_radius[1]:.3f}, {axis_radius[2]:.3f} Å\n"
        f"radii {', '.join(f'{k} {v:.2f}' for k, v in record.radii_A.items())}; "
        f"{record.mobile_ion} {record.ion_radius_A:.2f} Å",
        highlight=False,
    )
    if record.bvse_barriers_eV is not None:
        text = ", ".join(
            f"{d}D {'none' if b is None else f'{b:.3f}'}" for d, b in enumerate(record.bvse_barriers_eV, 1)
        )
        console.print(
            f"bond-valence barriers {text} eV (rigid framework, one ion: they rank, they do not predict)",
            highlight=False,
        )
    count = f"{len(record.gates)} kind{'s' if len(record.gates) != 1 else ''} of gate"
    table = Table(title=f"{count}; * on the widest way through", title_justify="left")
    for name, justify in (
        ("jump", "left"), ("anions", "left"), ("area Å²", "right"), ("circumradius Å", "right"),
        ("free radius Å", "right"), ("at", "right"), ("jump Å", "right"), ("per cell", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name == "jump")  # type: ignore[arg-type]
    for g in record.gates:
        table.add_row(
            g.jump + (" *" if g.percolating else ""), "-".join(g.anions), f"{g.area_A2:.3f}", f"{g.circumradius_A:.3f}",
            f"{g.free_radius_A:.3f}", f"{g.path_fraction:.2f}", f"{g.jump_length_A:.2f}", str(g.multiplicity),
        )  # fmt: skip
    for jump in record.gateless:
        table.add_row(
            jump.jump + (" *" if jump.percolating else ""), "no gate", "", "", "", "", f"{jump.jump_length_A:.2f}",
            str(jump.multiplicity),
        )  # fmt: skip
    console.print(table)
    for reason in dict.fromkeys(jump.reason for jump in record.gateless):
        names = [f"{j.jump} {j.jump_length_A:.2f} Å" for j in record.gateless if j.reason == reason]
        console.print(f"no gate, {reason}: {', '.join(dict.fromkeys(names))}", highlight=False)
    for flag in record.flags:
        console.print(f"{flag.value}: {flag.sentence}", highlight=False)
    if record.reason:
        console.print(f"{record.outcome.value}: {record.reason}", highlight=False)


def _print_motion(rows: Any) -> None:
    if not rows:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="gates in motion: mean [5 %, 95 %] over frames", title_justify="left")
    for name in ("jump", "area Å²", "free radius Å", "open", "correlation with jumps"):
        table.add_column(name)
    for g in rows:
        table.add_row(
            g.jump,
            f"{g.area_mean_A2:.2f} [{g.area_q05_A2:.2f}, {g.area_q95_A2:.2f}]",
            f"{g.free_radius_mean_A:.2f} [{g.free_radius_q05_A:.2f}, {g.free_radius_q95_A:.2f}]",
            f"{100 * g.open_fraction:.0f} %",
            "no jumps" if g.jump_correlation is None else f"{g.jump_correlation:+.2f}",
        )
    Console().print(table)


def _write(
    out: Path,
    found: Channels,
    record: StaticDescriptors,
    motion: tuple[Any, Any],
    trajectory: Any,
    cavities: Any,
    settings: ChannelSettings,
) -> None:
    from ionsieve.channels import exports, pictures

    out.mkdir(parents=True, exist_ok=True)
    from ionsieve.store.folder import write_file

    write_file(out / "channels.json", record.to_json())
    write_file(out / "gates.csv", exports.gate_table(record.gates, record.gateless))
    write_file(out / "network.cif", exports.network_cif(found))
    write_file(out / "network.xyz", exports.network_xyz(found))
    pictures.draw_gates(record.gates, found.ion_radius_A, open_ratio=settings.open_ratio).figure.savefig(
        out / "gates.png", dpi=150
    )
    numbers, positions = _atoms_of(found)
    rows, series = motion
    if rows:
        write_file(out / "gates_in_motion.csv", exports.gate_motion_table(rows))
        pictures.draw_motion(series, found.gate_set, open_ratio=settings.open_ratio).figure.savefig(
            out / "gates_in_motion.png", dpi=150
        )
        density, cell = exports.probability_density(
            trajectory.positions, trajectory.cells, found.framework.mobile_indices
        )
        (out / "density.cube").write_text(
            exports.cube(
                density, cell, numbers, positions, comment=f"probability density of {record.mobile_ion}, 1/Å³"
            ),
            encoding="utf-8",
        )
    if record.bvse_barriers_eV is not None:
        from ionsieve.channels.bvse import landscape

        field = landscape(found.framework, settings)
        (out / "bvse.cube").write_text(
            exports.cube(field.energy_eV, field.cell, numbers, positions, comment="bond-valence site energy, eV"),
            encoding="utf-8",
        )
        pictures.draw_landscape(field).figure.savefig(out / "bvse.png", dpi=150)
    if cavities:
        (out / "interstitials.json").write_text(
            json.dumps([c.as_mobile_site() for c in cavities], indent=1) + "\n", encoding="utf-8"
        )


def _atoms_of(found: Channels) -> tuple[Any, Any]:
    import numpy as np
    from ase.data import atomic_numbers

    f = found.framework
    return np.array([atomic_numbers[s] for s in f.symbols]), f.positions


def _print_sieve(rows: list[StaticDescriptors], csv: bool) -> None:
    from ionsieve.verdicts import Outcome

    header = [
        "configuration", "free sphere Å", "1D Å", "2D Å", "3D Å", "narrowest gate Å", "barrier 1D, 2D, 3D eV",
        "outcome", "reason",
    ]  # fmt: skip
    body = []
    for row in rows:
        r = row.percolation_radius_A or (0.0, 0.0, 0.0)
        gates = [g.free_radius_A for g in row.gates if g.percolating]
        barriers = row.bvse_barriers_eV
        body.append([
            row.configuration_id, f"{row.free_sphere_A:.3f}", *(f"{x:.3f}" for x in r),
            f"{min(gates):.3f}" if gates else "open" if any(j.percolating for j in row.gateless) else "none",
            "not computed" if barriers is None else ", ".join("none" if b is None else f"{b:.2f}" for b in barriers),
            row.outcome.value, row.reason,
        ])  # fmt: skip
    fallen = sum(row.outcome is Outcome.SIEVED for row in rows)
    if csv:
        import csv as csv_module
        import sys

        writer = csv_module.writer(sys.stdout, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(body)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{fallen} of {len(rows)} would be sieved out", title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")
    for line in body:
        table.add_row(*line)
    Console().print(table)
