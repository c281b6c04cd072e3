"""``ionsieve channels`` and ``ionsieve sieve``: bottleneck geometry of anything, and who would fall in the sieve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ionsieve.cli.channels_output import show, show_cavities, show_motion, show_sieve, write
from ionsieve.cli.frames import Elements, Format, Stop, Topology, Unwrapped
from ionsieve.cli.targets import check_target
from ionsieve.errors import InputError, nearest

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
        start: Annotated[int, typer.Option(min=0, help="First frame of a trajectory.")] = 0,
        stop: Stop = None,
        stride: Annotated[int, typer.Option(min=1, help="Take every n-th frame.")] = 1,
        format: Format = None,
        topology: Topology = None,
        elements: Elements = "",
        unwrapped: Unwrapped = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    ) -> int:
        """Spheres, percolation and bottlenecks of a structure; along a trajectory also how the gates move."""
        from ionsieve.channels import ChannelSettings, describe, find_interstitials, judge
        from ionsieve.channels.bvse import missing_pairs

        if out is not None:
            check_target(out, "--out", folder=True)
        settings = ChannelSettings(bvse=bvse, min_jump_length_A=min_jump)
        reading = {
            "start": start,
            "stop": stop,
            "stride": stride,
            "format": format,
            "topology": topology,
            "elements": [word.strip() for word in elements.split(",") if word.strip()] or None,
            "unwrapped": unwrapped,
        }
        structure, trajectory, given, frame = _load(source, mobile, reading)
        states = _charges(charges, structure, mobile)
        if sites is not None:
            given = _sites_of(sites, mobile, _cell_of(structure))
        found = describe(
            structure,
            mobile,
            oxidation_states=states or None,
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
            show(record, found.axis_radius_A)
            if bvse and record.bvse_barriers_eV is None:
                pairs = ", ".join(missing_pairs(found.framework))
                typer.echo(f"no bond-valence barriers: no published parameters for {pairs}", err=True)
            mixed = int(found.framework.is_disordered.sum())
            if record.bvse_barriers_eV is not None and mixed:
                typer.echo(
                    f"bond-valence barriers of a mean field: {mixed} of {len(found.framework.symbols)} framework sites "
                    "are shared or partly filled and count with their occupancy; that is not the mean of the barriers "
                    "of ordered cells, and may lie far below it",
                    err=True,
                )
            show_motion(motion[0])
            if trajectory is not None and given is None:
                where = "the first frame" if frame is None else f"frame {frame} too"
                typer.echo(f"sites: where the ions are in {where}; --sites names the crystal's own", err=True)
        if frame is not None:
            typer.echo(
                f"framework: as in frame {frame} of those taken, the nearest to the mean: polyanions turn, and the "
                "mean of their atoms' positions would collapse onto their centres",
                err=True,
            )
        cavities = find_interstitials(found.framework) if interstitials else None
        show_cavities(cavities, err=as_json)
        if out is not None:
            write(out, found, record, motion, trajectory, cavities, settings)
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
        show_sieve(rows, csv)
        if refused:  # beside the table: they have no structure, so no numbers
            typer.echo(f"{len(refused)} of {len(candidates)} candidates refused, so without a row:", err=True)
            for c in refused:
                typer.echo(f"  {c.candidate_id}: {c.outcome.sentence}\n    {c.reason}", err=True)
        return 3 if refused else 0


def _charges(text: str, structure: Any, mobile: str) -> dict[str, float]:
    """Read ``Na=1,Cl=-1``; elements that are not in the structure are refused."""
    import math

    from ionsieve.channels.rows import as_rows

    out: dict[str, float] = {}
    if not text.strip():
        return out
    known = sorted({e for site in as_rows(structure).species for e in site} | {mobile})
    for part in filter(None, (p.strip() for p in text.split(","))):
        element, _, value = (word.strip() for word in part.partition("="))
        try:
            out[element] = float(value)
        except ValueError:
            out[element] = math.nan
        if not math.isfinite(out[element]):
            raise InputError(
                "not an oxidation state", key="--charges", found=part, expected="Element=number, for example Zr=4"
            )
        if element not in known:
            close = nearest(element, known)
            raise InputError(
                f"the structure holds no {element}",
                key="--charges",
                found=part,
                expected=f"one of {', '.join(known)}",
                remedy=f"did you mean {close}?" if close else "leave it out",
            )
    return out


def _refuse_frames(reading: dict[str, Any], source: str) -> None:
    """Refuse options for trajectories where the source is a single structure."""
    default = {"start": 0, "stop": None, "stride": 1}
    given = [f"--{name}" for name, value in reading.items() if (value or None) != (default.get(name) or None)]
    if given:
        raise InputError(
            "a single structure has no frames to choose and no format to name",
            key=", ".join(given),
            where=source,
            remedy=f"leave out {', '.join(given)}, or name a trajectory",
        )


def _load(source: str, mobile: str, reading: dict[str, Any]) -> tuple[Any, Any, Any, int | None]:
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
        _refuse_frames(reading, source)
        if prototype.mobile_ion != mobile:
            raise InputError(
                f"the mobile ion of {source} is {prototype.mobile_ion}", key="--mobile", found=mobile,
                remedy=f"--mobile {prototype.mobile_ion}",
            )  # fmt: skip
        return (*_of_prototype(prototype), None)
    if path.is_dir() and not (path / "metadata.json").exists():  # ASE's bundles are folders
        raise InputError("a folder, not a structure or trajectory", where=source, remedy="name a file in it")
    if path.suffix.lower() == ".cif":
        _refuse_frames(reading, source)
        return _read_structure(path), None, None, None
    from ionsieve.trajectory.foreign import read_any

    frames = read_any(path, frame_interval_fs=1.0, **reading)
    import ase.io
    import numpy as np
    from ase import Atoms

    finite = np.isfinite(frames.positions).all(axis=(1, 2)) & np.isfinite(frames.cells).all(axis=(1, 2))
    if not finite.all():
        at = int(np.argmin(finite)) * reading["stride"] + reading["start"]
        raise InputError(
            "positions or cell hold NaN or infinity",
            where=f"{source}, frame {at}",
            cause="a run that blew up, or a damaged file",
            remedy=f"end before it: --stop {at}" if at > reading["start"] else f"begin after it: --start {at + 1}",
        )
    periodic: Any = True
    if path.suffix.lower() not in (".h5", ".h5md", ".hdf5") and reading["topology"] is None:
        periodic = ase.io.read(path, index=0, format=reading["format"]).pbc
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
