"""What ``ionsieve analyze`` prints and writes of one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

    from ionsieve.records import CandidateEstimate
    from ionsieve.transport import Transport

__all__ = ["GRIDS", "line", "show", "show_candidate", "write", "write_density"]

GRIDS = ("cube", "chgcar", "xsf")


def line(estimate: Any) -> str:
    """Return one statement with its intervals, or why there is none."""
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


def show(console: Any, r: Transport, path: Path, all_framework: bool) -> None:
    """Print one run."""
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
    for e in (r.tracer_diffusivity, r.conductivity):  # the reason of both stands above
        console.print("  " + line(e.model_copy(update={"reason": "see above"})), highlight=False, soft_wrap=True)
    for e in (r.charge_diffusivity, r.charge_conductivity, r.inverse_haven_ratio, r.haven_ratio):
        if r.tracer_diffusivity.is_value:
            console.print("  " + line(e), highlight=False, soft_wrap=True)
    window = f"{r.fit_window_ps[0]:.3g} to {r.fit_window_ps[1]:.3g} ps" if r.fit_window_ps else "none"
    slope = f"{r.log_log_slope:.2f}" if r.log_log_slope is not None else "-"
    console.print(
        f"  fit window {window}, log-log slope {slope}, jumps {r.hops}, N_eff {r.n_eff or 0:.1f}", highlight=False
    )
    for text in _mechanism(r):
        console.print("  " + text, highlight=False, soft_wrap=True)
    for flag in r.flags:
        console.print(f"  {flag.severity}: {flag.sentence}", style="yellow", highlight=False, soft_wrap=True)


def show_candidate(console: Any, estimate: CandidateEstimate) -> None:
    """Print what all temperatures together say."""
    console.print(
        f"\n{line(estimate.activation_energy)}\n{line(estimate.conductivity)}  at {estimate.target_temperature_K:g} K",
        highlight=False,
        soft_wrap=True,
    )
    fitted = estimate.arrhenius
    if fitted is not None:
        left = fitted.leave_one_out_Ea_eV
        spread = f"leaving one temperature out {left[0]:.3f} to {left[1]:.3f} eV; " if left else ""
        console.print(f"  {spread}{fitted.convention}", highlight=False, soft_wrap=True)
    if estimate.reason and estimate.reason != estimate.activation_energy.reason:
        console.print(f"  {estimate.reason}", highlight=False, soft_wrap=True)
    for flag in estimate.flags:
        console.print(f"  {flag.severity}: {flag.sentence}", style="yellow", highlight=False, soft_wrap=True)


def _mechanism(r: Transport) -> list[str]:
    """Integrity and mechanism of a run in a few lines; all of it stands in its JSON."""
    m = r.mechanism

    def say(words: list[tuple[str, Any, str]]) -> str:
        return ", ".join(f"{name} {value:.3g}{unit}" for name, value, unit in words if value is not None)

    drift = m.get("energy_drift_meV_per_atom_per_ps")
    lines = [
        "framework: "
        + say(
            [
                ("farthest", r.framework_max_displacement_A, " Å"),
                ("Lindemann", r.lindemann, ""),
                ("drift removed", r.drift_A, " Å"),
                ("polyanions intact", r.polyanion_intact_fraction, ""),
                ("energy drift", drift, " meV/atom/ps"),
                ("+-", m.get("energy_drift_error") if drift is not None else None, ""),
            ]
        ),
        f"{r.mobile_ion}: "
        + say(
            [
                ("vibrates by", m.get("vibration_amplitude_A"), " Å an axis"),
                ("attempts at", m.get("attempt_frequency_THz"), " THz"),
            ]
        ),
    ]
    if principal := m.get("principal_diffusivities_cm2_per_s"):
        lines.append("principal D: " + ", ".join(f"{x:.2g}" for x in principal) + " cm²/s")
    jumps = m.get("jumps", {})
    for kind, p in list(jumps.get("pairs", {}).items())[:6]:
        lines.append(
            f"{kind}: "
            + say(
                [
                    ("jumps", p["jumps"], ""),
                    ("rate", p["rate_per_ps"], " /ps"),
                    ("+-", 100 * p["rate_relative_error"], " %"),
                    ("length", p["mean_length_A"], " Å"),
                    ("barrier", p["barrier_eV"], " eV"),
                    ("residence", jumps.get("residence_ps", {}).get(kind.split("->")[0]), " ps"),
                ]
            )
        )
    if jumps.get("n_jumps"):
        parts: list[tuple[str, Any, str]] = [
            ("correlation factor", jumps.get("correlation_factor"), ""),
            ("straight back", jumps.get("return_fraction"), ""),
            ("cooperative", jumps.get("cooperative_fraction"), ""),
        ]
        lines.append("jumps: " + say(parts))
    for bond, turning in m.get("rotation", {}).items():
        time, end = turning["relaxation_ps"], f"C1 {turning['c1'][-1]:.2f}, C2 {turning['c2'][-1]:.2f}"
        lost = f"lost within {time:.3g} ps, " if time is not None else ""
        lines.append(f"{bond} orientation: {lost}{end} at {turning['lag_ps'][-1]:.3g} ps")
    return [text for text in lines if not text.endswith(": ")]


def write(r: Transport, out: Path, stem: str, exports: list[str], *, plots: bool) -> None:
    """Write the record, tables, exports and plots of one run."""
    import numpy as np

    from ionsieve.store.folder import write_file
    from ionsieve.transport.exports import as_matcalc, as_pymatgen, msd_csv

    record = r.to_record(run_id=stem, configuration_id="analyzed", candidate_id="analyzed")
    write_file(out / f"{stem}.json", record.to_json())
    write_file(out / f"{stem}.msd.csv", msd_csv(r))
    for name, convert in (("pymatgen", as_pymatgen), ("matcalc", as_matcalc)):
        if name in exports:
            text = json.dumps(convert(r), indent=1, ensure_ascii=False, allow_nan=False)
            write_file(out / f"{stem}.{name}.json", text + "\n")
    if r.mechanism.get("non_gaussian"):
        curve = r.mechanism["non_gaussian"]
        rows = ["lag_ps,alpha2"] + [f"{t:.6g},{a:.6g}" for t, a in zip(curve["lag_ps"], curve["alpha2"], strict=True)]
        write_file(out / f"{stem}.non_gaussian.csv", "\n".join(rows) + "\n")
    for bond, turning in r.mechanism.get("rotation", {}).items():
        rows = ["lag_ps,c1,c2"]
        rows += [
            ",".join(f"{x:.6g}" for x in row) for row in zip(*(turning[k] for k in ("lag_ps", "c1", "c2")), strict=True)
        ]
        write_file(out / f"{stem}.rotation_{bond}.csv", "\n".join(rows) + "\n")
    if plots and len(r.tracer.msd_A2) > 4:
        from ionsieve.transport.kernels.histograms import van_hove_distinct, van_hove_self
        from ionsieve.transport.plots import plot_mechanism, plot_msd, plot_van_hove, save

        save(plot_msd(r), out / f"{stem}.msd.png")
        save(plot_mechanism(r), out / f"{stem}.mechanism.png")
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
        table = ["r_A," + ",".join(f"g_distinct_{k * r.dt_ps:.4g}ps" for k in lags)]
        table += [",".join(f"{x:.6g}" for x in row) for row in zip(others[0][0], *(g for _, g in others), strict=True)]
        write_file(out / f"{stem}.van_hove_distinct.csv", "\n".join(table) + "\n")
    jumps = r.mechanism.get("jumps", {}).get("pairs", {})
    if jumps:
        rows = ["jump,jumps,rate_per_ps,rate_relative_error,mean_length_A,barrier_eV"]
        for kind, p in jumps.items():
            barrier = "" if p["barrier_eV"] is None else f"{p['barrier_eV']:.4f}"
            rows.append(
                f"{kind},{p['jumps']},{p['rate_per_ps']:.6g},{p['rate_relative_error']:.3f},{p['mean_length_A']:.3f},{barrier}"
            )
        write_file(out / f"{stem}.jumps.csv", "\n".join(rows) + "\n")


def write_density(r: Transport, still: Atoms, out: Path, stem: str, exports: list[str]) -> None:
    """Write the density of the mobile ions on grids, beside the atoms that stay as they lie in the first frame."""
    from ionsieve.transport import grids
    from ionsieve.transport.kernels.histograms import density

    values = density(r.paths_A, r.cell_A)
    places = still.get_scaled_positions(wrap=False) @ r.cell_A
    if "cube" in exports:
        grids.write_cube(out / f"{stem}.density.cube", values, r.cell_A, still.numbers.tolist(), places)
    if "xsf" in exports:
        grids.write_xsf(out / f"{stem}.density.xsf", values, r.cell_A, still.numbers.tolist(), places)
    if "chgcar" in exports:
        symbols = still.get_chemical_symbols()
        grids.write_chgcar(out / f"{stem}.density.CHGCAR.vasp", values, r.cell_A, symbols, places)
