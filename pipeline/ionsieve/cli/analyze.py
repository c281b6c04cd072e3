"""``ionsieve analyze``: transport of any trajectory from any program, with its error bars, plots and tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ionsieve.cli.analyze_output import GRIDS, show, show_candidate, write, write_density
from ionsieve.cli.frames import Elements, Format, Stop, Topology, Unwrapped
from ionsieve.cli.targets import check_target
from ionsieve.errors import InputError, Problems, nearest

if TYPE_CHECKING:
    from ase import Atoms

    from ionsieve.trajectory.h5md import Trajectory
    from ionsieve.transport import Transport, TransportSettings

__all__ = ["register"]

_EXPORTS = ("pymatgen", "matcalc", *GRIDS)
_COMMON_CHARGES = {"Li": 1, "Na": 1, "K": 1, "Rb": 1, "Cs": 1, "Ag": 1, "Cu": 1, "F": -1, "Cl": -1, "O": -2}
_COMMON_CHARGES |= {"Mg": 2, "Ca": 2, "Zn": 2, "Al": 3}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(rich_help_panel="Tools")
    def analyze(
        trajectory: Annotated[
            list[Path], typer.Argument(help="One trajectory, or one per temperature: H5MD, ASE, extxyz, XDATCAR, ...")
        ],
        mobile: Annotated[str, typer.Option(help="Element that moves, for example Na.")],
        charge: Annotated[int | None, typer.Option(help="Its charge number; known for the common ions.")] = None,
        framework: Annotated[
            str, typer.Option(help="Elements that stay, comma-separated. Unset: all but the mobile one.")
        ] = "",
        temperature: Annotated[
            list[float] | None, typer.Option("--temperature", "-T", help="K, once per trajectory.")
        ] = None,
        dt_fs: Annotated[float | None, typer.Option(help="Time between two stored frames, fs.")] = None,
        out: Annotated[Path, typer.Option(help="Folder for tables and plots.")] = Path("transport"),
        charges: Annotated[str, typer.Option(help="Charges of all that moves, for example Na=1,Cl=-1.")] = "",
        sites: Annotated[
            Path | None, typer.Option(help="Structure file (CIF, POSCAR) whose atoms are the mobile sites.")
        ] = None,
        polyanion: Annotated[
            list[str] | None, typer.Option(help="Bonds that must hold: centre-ligand:cutoff, for example P-O:2.0.")
        ] = None,
        jump_length: Annotated[float | None, typer.Option(help="Jump distance in Å, when no sites are given.")] = None,
        target: Annotated[float, typer.Option(help="Temperature to carry the fit to, K.")] = 300.0,
        discard_ps: Annotated[float, typer.Option(help="Leave out this much at the start, ps.")] = 0.0,
        start: Annotated[int, typer.Option(help="First frame.")] = 0,
        stop: Stop = None,
        stride: Annotated[int, typer.Option(help="Take every n-th frame.")] = 1,
        format: Format = None,
        topology: Topology = None,
        elements: Elements = "",
        unwrapped: Unwrapped = False,
        export: Annotated[list[str] | None, typer.Option(help=f"Also write: {', '.join(_EXPORTS)}.")] = None,
        plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Draw the figures.")] = True,
    ) -> None:
        """Measure diffusion, conductivity, mechanism and integrity of any trajectory."""
        raise typer.Exit(
            _analyze(
                trajectory,
                mobile=mobile,
                charge=charge,
                framework=_words(framework),
                temperatures=temperature or [],
                dt_fs=dt_fs,
                out=out,
                charges=_pairs(charges),
                sites=sites,
                polyanions=[_polyanion(p) for p in polyanion or []],
                jump_length=jump_length,
                target=target,
                discard_ps=discard_ps,
                reading={
                    "start": start,
                    "stop": stop,
                    "stride": stride,
                    "format": format,
                    "topology": topology,
                    "elements": _words(elements) or None,
                    "unwrapped": unwrapped,
                },
                exports=export or [],
                plots=plots,
            )
        )


def _words(text: str) -> list[str]:
    return [w.strip() for w in text.split(",") if w.strip()]


def _pairs(text: str) -> dict[str, float]:
    result = {}
    for word in _words(text):
        element, _, number = word.partition("=")
        try:
            result[element.strip()] = float(number)
        except ValueError:
            raise InputError(
                "not a charge", key="--charges", found=word, expected="element=charge, for example Na=1"
            ) from None
    return result


def _polyanion(text: str) -> tuple[str, str, float]:
    bond, _, cutoff = text.partition(":")
    centre, _, ligand = bond.partition("-")
    try:
        return centre.strip(), ligand.strip(), float(cutoff)
    except ValueError:
        raise InputError(
            "not a bond", key="--polyanion", found=text, expected="centre-ligand:cutoff in Å, for example P-O:2.0"
        ) from None


def _check(mobile: str, charge: int | None, temperatures: list[float], n: int, exports: list[str]) -> int:
    problems = Problems()
    for name in exports:
        if name not in _EXPORTS:
            close = nearest(name, _EXPORTS)
            problems.add(
                "no such export",
                key="--export",
                found=name,
                expected=", ".join(_EXPORTS),
                remedy=f"did you mean {close}?" if close else "",
            )
    if temperatures and len(temperatures) != n:
        problems.add(
            "give one temperature per trajectory",
            key="--temperature",
            found=f"{len(temperatures)} temperatures, {n} trajectories",
        )
    from ase.data import chemical_symbols

    if mobile not in chemical_symbols[1:]:
        close = mobile.capitalize()
        problems.add(
            f"no such element: {mobile}",
            key="--mobile",
            remedy=f"did you mean {close}?" if close in chemical_symbols[1:] else "",
        )
    elif charge is None and mobile not in _COMMON_CHARGES:
        problems.add(
            f"the charge of {mobile} is not known",
            key="--charge",
            cause="conductivity goes with its square: it is never guessed for ions that have several",
            remedy=f"say it, for example --charge {'1'}",
        )
    problems.throw()
    return charge if charge is not None else _COMMON_CHARGES[mobile]


def _check_numbers(given: dict[str, float | None], out: Path, sites: Path | None) -> None:
    problems = Problems()
    for key, value in given.items():
        if value is not None and not value > 0.0:
            problems.add("must be above zero", key=key, found=f"{value:g}")
    if out.exists() and not out.is_dir():
        problems.add("is a file, not a folder", key="--out", found=str(out))
    if sites is not None and not sites.is_file():
        problems.add("no such file", key="--sites", found=str(sites))
    problems.throw()
    check_target(out, "--out", folder=True)


def _check_bonds(polyanions: list[tuple[str, str, float]], symbols: tuple[str, ...]) -> None:
    problems = Problems()
    for element in sorted({e for centre, ligand, _ in polyanions for e in (centre, ligand)} - set(symbols)):
        known = ", ".join(dict.fromkeys(symbols))
        problems.add(
            f"no {element} in the trajectory", key="--polyanion", found=element, expected=f"a bond between {known}"
        )
    problems.throw()


def _temperature(trajectory: Trajectory, given: float | None, path: Path) -> float:
    if given is not None:
        return given
    for key in ("temperature_K", "target_temperature_K"):
        if key in trajectory.attrs:
            return float(trajectory.attrs[key])
    if "temperature" in trajectory.scalars and len(trajectory.scalars["temperature"]):
        return float(trajectory.scalars["temperature"].mean())
    raise InputError(
        "the temperature is not in the file", where=str(path), key="--temperature", remedy="say it, for example -T 800"
    )


def _analyze(
    paths: list[Path],
    *,
    mobile: str,
    charge: int | None,
    framework: list[str],
    temperatures: list[float],
    dt_fs: float | None,
    out: Path,
    charges: dict[str, float],
    sites: Path | None,
    polyanions: list[tuple[str, str, float]],
    jump_length: float | None,
    target: float,
    discard_ps: float,
    reading: dict[str, Any],
    exports: list[str],
    plots: bool,
) -> int:
    from rich.console import Console

    from ionsieve.store.folder import disk_errors, write_file
    from ionsieve.transport import fit_candidate

    _check_numbers({"--target": target, "--dt-fs": dt_fs, "--jump-length": jump_length}, out, sites)
    z = _check(mobile, charge, temperatures, len(paths), exports)
    settings = _settings(target, jump_length)
    names = [p.stem for p in paths]
    runs = []
    for k, path in enumerate(paths):  # all is read, checked and measured before anything is written
        stem = path.stem if names.count(path.stem) == 1 else f"{k:02d}_{path.stem}"
        run = _measured(
            path,
            stem,
            temperature=temperatures[k] if temperatures else None,
            reading={"frame_interval_fs": dt_fs, **reading},
            discard_ps=discard_ps,
            sites=sites,
            mobile=mobile,
            charge=z,
            framework=framework,
            charges=charges or None,
            polyanions=polyanions,
            settings=settings,
        )
        runs.append(run)
    records = [
        r.result.to_record(run_id=f"{k:02d}", configuration_id="analyzed", candidate_id="analyzed")
        for k, r in enumerate(runs)
    ]
    fitted = fit_candidate(records, settings=settings) if len(runs) > 1 else None

    console = Console()
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for run in runs:
            write(run.result, out, run.stem, exports, plots=plots)
            if set(exports) & set(GRIDS):
                write_density(run.result, run.still, out, run.stem, exports)
            show(console, run.result, run.path, len(framework) == 0)
            if joined := run.attrs.get("unwrapped_steps"):
                longest = run.attrs["longest_step_of_height"]
                console.print(
                    f"  wrapped: {joined} passages through faces were joined; the longest step is {longest:.2f} of the "
                    "cell's height (0.4 is refused)",
                    soft_wrap=True,
                    highlight=False,
                )
        if fitted is not None:
            write_file(out / "candidate.json", fitted[0].to_json())
            if plots:
                from ionsieve.transport.plots import plot_arrhenius, save

                ts, es = zip(*fitted[0].points, strict=True)
                save(plot_arrhenius(ts, es, fitted[1]), out / "arrhenius.png")
            show_candidate(console, fitted[0])
    console.print(f"\ntables and plots: {out}", highlight=False)
    return 0


@dataclass(frozen=True)
class _Run:
    """One measured trajectory, without its frames; `still` are the atoms that stay, in the first frame."""

    path: Path
    stem: str
    result: Transport
    still: Atoms
    attrs: dict[str, Any]


def _measured(
    path: Path,
    stem: str,
    *,
    temperature: float | None,
    reading: dict[str, Any],
    discard_ps: float,
    sites: Path | None,
    mobile: str,
    polyanions: list[tuple[str, str, float]],
    **options: Any,
) -> _Run:
    """Read one trajectory and measure it."""
    import numpy as np
    from ase import Atoms

    from ionsieve.trajectory.foreign import read_any
    from ionsieve.transport import measure

    trajectory = read_any(path, **reading)
    keep = trajectory.times_ps - trajectory.times_ps[0] >= discard_ps - 1e-9
    if not keep.any():
        raise InputError(
            "nothing is left of the trajectory", where=str(path), key="--discard-ps", found=f"{discard_ps:g}"
        )
    _check_bonds(polyanions, trajectory.symbols)
    places, labels = _sites(sites, trajectory.cells[0]) if sites is not None else (None, [])
    energies = trajectory.scalars.get("potential_energy")
    result = measure(
        trajectory.positions[keep],
        trajectory.cells[keep],
        trajectory.times_ps[keep],
        trajectory.symbols,
        mobile=mobile,
        temperature_K=_temperature(trajectory, temperature, path),
        mobile_sites_A=places,
        mobile_site_labels=labels,
        polyanions=polyanions,
        energies_eV=None if energies is None else np.asarray(energies)[keep],
        unwrapped=bool(reading["unwrapped"]),
        **options,
    )
    first = int(keep.argmax())
    rest = [k for k, s in enumerate(trajectory.symbols) if s != mobile]
    still = Atoms(trajectory.numbers[rest], trajectory.positions[first, rest], cell=trajectory.cells[first], pbc=True)
    return _Run(path, stem, result, still, dict(trajectory.attrs))


def _settings(target: float, jump_length: float | None) -> TransportSettings:
    """Make the settings; values out of their range are the user's input, not a bug."""
    from pydantic import ValidationError

    from ionsieve.transport import TransportSettings

    try:
        return TransportSettings(target_temperature_K=target, jump_length_A=jump_length)
    except ValidationError as error:
        problems = Problems()
        options = {"target_temperature_K": "--target", "jump_length_A": "--jump-length"}
        for wrong in error.errors():
            key = options.get(str(wrong["loc"][0]) if wrong["loc"] else "", "")
            problems.add(wrong["msg"], key=key, found=str(wrong["input"]))
        problems.throw()
        raise


def _sites(path: Path, cell: Any) -> tuple[Any, list[str]]:
    """Read sites and their labels; stretch the sites affinely onto the cell of the trajectory's first frame.

    Labels count when sites share them (Na1, Na2 of a CIF); one label a site, as in a cell without symmetry, says
    nothing.
    """
    import warnings

    from pymatgen.core import Structure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_file(str(path))
    except Exception as error:  # the parsers raise whatever they meet
        raise InputError("the sites cannot be read", where=str(path), key="--sites", cause=str(error)) from error
    labels = [str(site.label) for site in structure]
    return structure.frac_coords @ cell, labels if 2 * len(set(labels)) <= len(labels) else []
