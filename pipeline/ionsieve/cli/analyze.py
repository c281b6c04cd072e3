"""``ionsieve analyze``: transport of any trajectory from any program, with its error bars, plots and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ionsieve.errors import InputError, Problems, nearest

if TYPE_CHECKING:
    from ionsieve.trajectory.h5md import Trajectory
    from ionsieve.transport import Transport

__all__ = ["register"]

_GRIDS = ("cube", "chgcar", "xsf")
_EXPORTS = ("pymatgen", "matcalc", *_GRIDS)
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
        stop: Annotated[int | None, typer.Option(help="End before this frame.")] = None,
        stride: Annotated[int, typer.Option(help="Take every n-th frame.")] = 1,
        format: Annotated[
            str | None, typer.Option(help="ASE's name of the format, if the file name does not tell.")
        ] = None,
        topology: Annotated[Path | None, typer.Option(help="Topology file: read with MDAnalysis.")] = None,
        elements: Annotated[str, typer.Option(help="Element of every atom type, comma-separated (LAMMPS).")] = "",
        unwrapped: Annotated[
            bool, typer.Option("--unwrapped", help="Positions were never wrapped: leave them.")
        ] = False,
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
    if charge is None and mobile not in _COMMON_CHARGES:
        problems.add(
            f"the charge of {mobile} is not known",
            key="--charge",
            cause="conductivity goes with its square: it is never guessed for ions that have several",
            remedy=f"say it, for example --charge {'1'}",
        )
    problems.throw()
    return charge if charge is not None else _COMMON_CHARGES[mobile]


def _temperature(trajectory: Trajectory, given: list[float], k: int, path: Path) -> float:
    if given:
        return given[k]
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
    import numpy as np
    from rich.console import Console

    from ionsieve.trajectory.foreign import read_any
    from ionsieve.transport import TransportSettings, estimate_candidate, fit_arrhenius, measure

    z = _check(mobile, charge, temperatures, len(paths), exports)
    settings = TransportSettings(target_temperature_K=target, jump_length_A=jump_length)
    out.mkdir(parents=True, exist_ok=True)
    console = Console()
    results: list[Transport] = []
    for k, path in enumerate(paths):
        trajectory = read_any(path, frame_interval_fs=dt_fs, **reading)
        keep = trajectory.times_ps - trajectory.times_ps[0] >= discard_ps - 1e-9
        if not keep.any():
            raise InputError(
                "nothing is left of the trajectory", where=str(path), key="--discard-ps", found=f"{discard_ps:g}"
            )
        energies = trajectory.scalars.get("potential_energy")
        result = measure(
            trajectory.positions[keep],
            trajectory.cells[keep],
            trajectory.times_ps[keep],
            trajectory.symbols,
            mobile=mobile,
            charge=z,
            framework=framework,
            temperature_K=_temperature(trajectory, temperatures, k, path),
            charges=charges or None,
            mobile_sites_A=None if sites is None else _sites(sites, trajectory.cells[0]),
            polyanions=polyanions,
            energies_eV=None if energies is None else np.asarray(energies)[keep],
            settings=settings,
        )
        results.append(result)
        stem = path.stem if [p.stem for p in paths].count(path.stem) == 1 else f"{k:02d}_{path.stem}"
        _write(result, out, stem, exports, plots=plots)
        if set(exports) & set(_GRIDS):
            _write_density(result, trajectory, keep, out, stem, exports)
        _show(console, result, path, len(framework) == 0)
    if len(results) > 1:
        records = [
            r.to_record(run_id=f"{k:02d}", configuration_id="analyzed", candidate_id="analyzed")
            for k, r in enumerate(results)
        ]
        estimate = estimate_candidate(records, settings=settings)
        from ionsieve.store.folder import write_file

        write_file(out / "candidate.json", estimate.to_json())
        if plots:
            from ionsieve.transport.plots import plot_arrhenius, save

            ts = [t for t, _ in estimate.points]
            es = [e for _, e in estimate.points]
            save(
                plot_arrhenius(ts, es, fit_arrhenius(ts, es, target_temperature_K=target, settings=settings)),
                out / "arrhenius.png",
            )
        console.print(f"\n{_line(estimate.activation_energy)}\n{_line(estimate.conductivity)}  at {target:g} K")
        for flag in estimate.flags:
            console.print(f"  {flag.severity}: {flag.sentence}", style="yellow", highlight=False)
    console.print(f"\ntables and plots: {out}", highlight=False)
    return 0


def _sites(path: Path, cell: Any) -> Any:
    """Read sites and stretch them affinely onto the cell of the trajectory's first frame."""
    from ase.io import read

    atoms = read(str(path))
    return atoms.get_scaled_positions(wrap=False) @ cell


def _line(estimate: Any) -> str:
    from ionsieve.quantities import quantity
    from ionsieve.verdicts import Verdict

    q = quantity(estimate.quantity)
    head = f"{q.symbol:>5}"
    if estimate.kind is Verdict.UPPER_LIMIT:
        return f"{head} < {estimate.value:.3g} {q.unit} (95 %)  {estimate.reason}"
    if not estimate.is_value:
        return f"{head}   refused: {estimate.reason}"
    mark = "" if estimate.kind is Verdict.VALUE else "  indicative"
    return (
        f"{head} = {estimate.value:.3g} {q.unit}   68 % [{estimate.low68:.3g}, {estimate.high68:.3g}]"
        f"   95 % [{estimate.low95:.3g}, {estimate.high95:.3g}]{mark}"
    )


def _show(console: Any, r: Transport, path: Path, all_framework: bool) -> None:
    console.print(
        f"\n[bold]{path}[/bold]  {r.temperature_K:g} K, {r.length_ps:.4g} ps, {r.n_mobile} {r.mobile_ion}, "
        f"{r.volume_A3:.1f} Å³: {r.outcome.value}, {r.verdict.value}",
        highlight=False,
    )
    if r.reason:
        console.print(f"  {r.reason}", highlight=False)
    if all_framework:
        console.print(
            f"  framework taken as {', '.join(r.mechanism['framework']) or 'none'}: name it if one of them moves",
            style="yellow",
            highlight=False,
        )
    for e in (
        r.tracer_diffusivity,
        r.conductivity,
        r.charge_diffusivity,
        r.charge_conductivity,
        r.inverse_haven_ratio,
        r.haven_ratio,
    ):
        console.print("  " + _line(e), highlight=False, soft_wrap=True)
    window = f"{r.fit_window_ps[0]:.3g} to {r.fit_window_ps[1]:.3g} ps" if r.fit_window_ps else "none"
    slope = f"{r.log_log_slope:.2f}" if r.log_log_slope is not None else "-"
    console.print(
        f"  fit window {window}, log-log slope {slope}, jumps {r.hops}, N_eff {r.n_eff or 0:.1f}", highlight=False
    )
    for flag in r.flags:
        console.print(f"  {flag.severity}: {flag.sentence}", style="yellow", highlight=False)


def _write(r: Transport, out: Path, stem: str, exports: list[str], *, plots: bool) -> None:
    import numpy as np

    from ionsieve.transport.exports import as_matcalc, as_pymatgen, msd_csv

    record = r.to_record(run_id=stem, configuration_id="analyzed", candidate_id="analyzed")
    from ionsieve.store.folder import write_file

    write_file(out / f"{stem}.json", record.to_json())
    write_file(out / f"{stem}.msd.csv", msd_csv(r))
    for name, convert in (("pymatgen", as_pymatgen), ("matcalc", as_matcalc)):
        if name in exports:
            text = json.dumps(convert(r), indent=1, ensure_ascii=False, allow_nan=False)
            write_file(out / f"{stem}.{name}.json", text + "\n")
    if plots and len(r.tracer.msd_A2) > 4:
        from ionsieve.transport.kernels.histograms import van_hove_distinct, van_hove_self
        from ionsieve.transport.plots import plot_msd, plot_van_hove, save

        save(plot_msd(r), out / f"{stem}.msd.png")
        half = len(r.paths_A) // 2
        lags = sorted({max(1, half // 50), max(1, half // 8), half})
        own = [van_hove_self(r.paths_A, k) for k in lags]
        height = float((1.0 / np.linalg.norm(np.linalg.inv(r.cell_A), axis=0)).min())
        reach: dict[str, Any] = {"bins": 120, "largest_A": min(12.0, height / 2)}
        others = [van_hove_distinct(r.paths_A, r.cell_A, k, **reach) for k in lags]
        figure = plot_van_hove(own, others, [k * r.dt_ps for k in lags])
        save(figure, out / f"{stem}.van_hove.png")
        table = ["r_A," + ",".join(f"g_self_{k * r.dt_ps:.4g}ps_per_A3" for k in lags)]
        table += [",".join(f"{x:.6g}" for x in row) for row in zip(own[0][0], *(g for _, g in own), strict=True)]
        write_file(out / f"{stem}.van_hove.csv", "\n".join(table) + "\n")
    jumps = r.mechanism.get("jumps", {}).get("pairs", {})
    if jumps:
        rows = ["jump,jumps,rate_per_ps,rate_relative_error,mean_length_A,barrier_eV"]
        for kind, p in jumps.items():
            barrier = "" if p["barrier_eV"] is None else f"{p['barrier_eV']:.4f}"
            rows.append(
                f"{kind},{p['jumps']},{p['rate_per_ps']:.6g},{p['rate_relative_error']:.3f},{p['mean_length_A']:.3f},{barrier}"
            )
        write_file(out / f"{stem}.jumps.csv", "\n".join(rows) + "\n")


def _write_density(r: Transport, trajectory: Trajectory, keep: Any, out: Path, stem: str, exports: list[str]) -> None:
    import numpy as np

    from ionsieve.transport import grids
    from ionsieve.transport.kernels.histograms import density

    values = density(r.paths_A, r.cell_A)
    still = [k for k, s in enumerate(trajectory.symbols) if s != r.mobile_ion]
    fractional = trajectory.positions[keep][0, still] @ np.linalg.inv(trajectory.cells[keep][0])
    places = fractional @ r.cell_A
    if "cube" in exports:
        grids.write_cube(out / f"{stem}.density.cube", values, r.cell_A, trajectory.numbers[still].tolist(), places)
    if "xsf" in exports:
        grids.write_xsf(out / f"{stem}.density.xsf", values, r.cell_A, trajectory.numbers[still].tolist(), places)
    if "chgcar" in exports:
        symbols = [trajectory.symbols[k] for k in still]
        grids.write_chgcar(out / f"{stem}.density.CHGCAR.vasp", values, r.cell_A, symbols, places)
