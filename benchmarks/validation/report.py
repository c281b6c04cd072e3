"""Write docs/validation.md from the folders of finished or running campaigns.

    ionsieve run workflows/validation-sulfide.yaml --out runs/validation-sulfide    # and the other families
    python benchmarks/validation/report.py runs/validation-* --out docs/validation.md

Everything on the page comes from the folders, but the remarks: they are read from ``remarks.md`` beside this script,
and speak of the run named in them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from anew import up_to_date  # noqa: E402
from contrasts import CONTRASTS, Contrast, Told, compare, is_it, outcome_word, probability_greater  # noqa: E402
from pairs import Pair, corrected, pairs_of, summarise  # noqa: E402
from parity import parity_figure  # noqa: E402

from ionsieve.errors import IonsieveError  # noqa: E402
from ionsieve.records import Candidate, CandidateEstimate, Estimate, Measurement, RelaxedConfiguration, RunRecord  # noqa: E402
from ionsieve.report import CampaignResults, load_results  # noqa: E402
from ionsieve.transport import estimate_candidate  # noqa: E402
from ionsieve.transport.settings import TransportSettings  # noqa: E402
from ionsieve.verdicts import Flag, Outcome  # noqa: E402

HEAD = """# Validation

Written by `python benchmarks/validation/report.py` from the folders of campaigns; nothing is tuned to fit. Computed
numbers are bulk conductivities of a perfect crystal from molecular dynamics; published ones are totals of pellets,
grain boundaries included, and the same nominal compound is printed over almost a decade (`literature/README.md` names
the reviews): half a decade is as good as agreement gets, and order is the fair test.
"""


def number(estimate: Estimate) -> str:
    """Return D in 1e-6 cm²/s with its 95 % interval, a limit, or the refusal."""
    if estimate.is_value:
        mark = "~" if estimate.kind == "indicative" else ""
        return f"{mark}{_micro(estimate.value)} ({_micro(estimate.low95)} to {_micro(estimate.high95)})"
    return f"< {_micro(estimate.value)}" if estimate.value is not None else "refused"


def odds_of(probability: float | None, bound: str) -> str:
    """Return a probability in two digits; none is called certain."""
    if probability is None:
        return "-"
    shown = "< 0.01" if probability < 0.005 else "> 0.99" if probability > 0.995 else f"{probability:.2f}"
    return f"{bound} {shown}".strip()


def _micro(value: float | None) -> str:
    return "?" if value is None else f"{float(f'{1e6 * value:.2g}'):g}"


def size_of(results: CampaignResults) -> list[str]:
    """Say plainly how much was run."""
    runs = [r for r in results.runs if r.summary is not None]
    lengths = [r.summary.length_ps for r in runs if r.summary]
    measured = {m.candidate_id for m in results.measurements}
    potential = results.potential
    span = " to ".join(f"{x:g}" for x in sorted({round(min(lengths, default=0), 1), round(max(lengths, default=0), 1)}))
    temperatures = sorted({m.temperature_K for m in results.measurements})
    lines = [
        f"**{results.name}**, potential {potential.name if potential else 'unknown'}: {len(runs)} runs of "
        f"{len(measured)} of {len(results.candidates)} candidates were finished and measured when this page was "
        f"written: {sum(lengths):.0f} ps in all, {span} ps a run, at "
        f"{', '.join(f'{t:g}' for t in temperatures) or 'no'} K.",
    ]
    ended = [(r.run.run_id, r) for r in results.runs] + [(m.run_id, m) for m in results.measurements]
    failed = {name: e for name, e in ended if e.outcome not in (Outcome.COMPLETED, Outcome.STOPPED_EARLY)}
    if failed:
        lines.append("")
        lines += [f"- {name}: {e.outcome.sentence} {e.reason}" for name, e in failed.items()]
    return lines


def lost_sides(contrast: Contrast, by_id: Mapping[str, Candidate], lost: Mapping[str, Outcome]) -> list[str]:
    """Return the sides of a contrast whose runs ended before anything could be measured, with how they ended."""
    sides = {formula for pair in contrast.pairs for formula in pair}
    return [
        f"{formula} {outcome.value.replace('_', ' ')}"
        for formula in sorted(sides)
        for name, outcome in lost.items()
        if name in by_id and is_it(by_id[name], formula, contrast.family)
    ]


def contrasts_table(told: Sequence[Told], by_id: Mapping[str, Candidate], lost: Mapping[str, Outcome]) -> list[str]:
    """Return one line a contrast and temperature; those whose side was lost; and the names of those not run."""
    lines = [
        "| contrast | known | T (K) | D of the first (10⁻⁶ cm²/s) | D of the second | jumps | log10 ratio | "
        "P(as known) | outcome |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    absent = []
    for contrast in CONTRASTS:
        mine = [t for t in told if t.contrast is contrast]
        gone = lost_sides(contrast, by_id, lost)
        if gone:
            lines.append(f"| {contrast.title} | {contrast.known} | - | - | - | - | - | - | {', '.join(gone)} |")
        elif not mine:
            absent.append(contrast.title)
        for i, t in enumerate(mine):
            ratio = "-" if t.log10_ratio is None else f"{t.log10_ratio:+.2f} ± {t.error:.2f}"
            if t.expected_ratio is not None and t.log10_ratio is not None:
                ratio += f" (proportional: {math.log10(t.expected_ratio):+.2f})"
            p = odds_of(t.probability, t.bound)
            head = f"{contrast.title}<br>" if not i else ""
            lines.append(
                f"| {head}{t.pair[0]} / {t.pair[1]} | {contrast.known if not i else ''} | {t.temperature_K:g} | "
                f"{number(t.faster)} | {number(t.slower)} | "
                f"{' / '.join('-' if n is None else str(n) for n in t.jumps)} | {ratio} | {p} | {outcome_word(t)} |"
            )
    if absent:
        lines += ["", f"Not run: {'; '.join(absent)}."]
    return lines


def runs_table(
    by_id: Mapping[str, Candidate],
    measurements: Sequence[Measurement],
    relaxed: Sequence[RelaxedConfiguration],
    runs: Sequence[RunRecord],
) -> list[str]:
    """Return one line a measured run."""
    volume = {r.configuration_id: r.volume_change_percent for r in relaxed}
    step = {r.run.run_id: r.summary.dt_fs for r in runs if r.summary}
    lines = [
        "| candidate | family | atoms | T (K) | ps | step (fs) | ΔV (%) | hops | D* (10⁻⁶ cm²/s) | 1/H_R | flags |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in sorted(measurements, key=lambda m: (by_id[m.candidate_id].family, m.candidate_id, m.temperature_K)):
        c = by_id[m.candidate_id]
        change = volume.get(m.configuration_id)
        haven = m.inverse_haven_ratio
        lines.append(
            f"| {c.realised_formula} | {c.family} | {c.n_atoms} | {m.temperature_K:g} | {m.length_ps:.1f} | "
            f"{step.get(m.run_id, math.nan):g} | "
            f"{'-' if change is None else f'{change:+.1f}'} | {'-' if m.hops is None else m.hops} | "
            f"{number(m.tracer_diffusivity)} | {f'{haven.value:.2g}' if haven.is_value else '-'} | "
            f"{', '.join(f.value for f in m.flags) or '-'} |"
        )
    return lines


def statistics_table(pairs: Sequence[Pair]) -> list[str]:
    """Return mean absolute error and rank correlation by potential and family, and in all."""
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for p in pairs:
        groups.setdefault((p.quantity, p.potential, "all families"), []).append(p)
        groups.setdefault((p.quantity, p.potential, p.family), []).append(p)
        if p.quantity == "log10_sigma" and Flag.ASSUMED_EA.value not in p.flags:
            groups.setdefault((p.quantity, p.potential, "all, Ea measured"), []).append(p)
    lines = [
        "| quantity | potential | family | pairs | mean absolute error | mean error | Spearman |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (quantity, potential, family), members in sorted(groups.items()):
        s = summarise(family, members)
        mae = "-" if s.mae is None else f"{s.mae[0]:.2f} ({s.mae[1]:.2f} to {s.mae[2]:.2f})"
        rank = "-" if s.rank is None else f"{s.rank[0]:+.2f} ({s.rank[1]:+.2f} to {s.rank[2]:+.2f})"
        bias = "-" if s.bias is None else f"{s.bias:+.2f}"
        lines.append(f"| {quantity} | {potential} | {family} | {s.n} | {mae} | {bias} | {rank} |")
    return lines


def pooled(members: Sequence[CampaignResults]) -> list[tuple[Candidate, CandidateEstimate]]:
    """Return the estimate of each candidate; runs of one cell in several campaigns are fitted together."""
    cells: dict[tuple[str, int], list[CampaignResults]] = {}
    for results in members:
        for c in results.candidates:
            if any(e.candidate_id == c.candidate_id for e in results.estimates):
                cells.setdefault((c.candidate_id, c.n_atoms), []).append(results)
    found = []
    for (name, _), of in cells.items():
        candidate = next(c for c in of[0].candidates if c.candidate_id == name)
        if len(of) == 1:
            found.append((candidate, next(e for e in of[0].estimates if e.candidate_id == name)))
            continue
        runs = [m for results in of for m in results.measurements if m.candidate_id == name]
        settings = TransportSettings.model_validate(of[0].campaign["transport"])
        found.append(
            (candidate, estimate_candidate(sorted(runs, key=lambda m: (m.temperature_K, m.run_id)), settings=settings))
        )
    return found


def arrhenius_table(groups: Mapping[str, Sequence[CampaignResults]]) -> list[str]:
    """Return the activation energies that were measured (none that was assumed), with what they rest on."""
    lines = [
        "| candidate | family | potential | T (K) | Ea (eV) | 68 % | log10 σ(300 K), S/cm | 68 % | flags |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, members in groups.items():
        for c, e in pooled(members):
            ea, sigma = e.activation_energy, e.conductivity
            if len({t for t, _ in e.points}) < 2:
                continue
            shown, at_use = "refused | -", "- | -"
            if ea.value is not None and ea.low68 is not None and ea.high68 is not None and ea.is_value:
                shown = f"{ea.value:.2f} | {ea.low68:.2f} to {ea.high68:.2f}"
            if Flag.ASSUMED_EA in e.flags:
                shown = "assumed | -"
            if sigma.is_value and sigma.value and sigma.low68 and sigma.high68:
                low, middle, high = (math.log10(x) for x in (sigma.low68, sigma.value, sigma.high68))
                at_use = f"{middle:.1f} | {low:.1f} to {high:.1f}"
            lines.append(
                f"| {c.realised_formula} | {c.family} | {name} | {', '.join(f'{t:g}' for t, _ in e.points)} | "
                f"{shown} | {at_use} | {', '.join(f.value for f in e.flags) or '-'} |"
            )
    return lines if len(lines) > 2 else ["No candidate was run at two temperatures."]


def side_by_side(groups: Mapping[str, Sequence[CampaignResults]]) -> list[str]:
    """Return D of the same cell at the same temperature with each potential, and its ratio to the first of them."""
    found: dict[tuple[str, int, float], dict[str, list[Estimate]]] = {}
    formula: dict[str, str] = {}
    for name, members in groups.items():
        for results in members:
            by_id = {c.candidate_id: c for c in results.candidates}
            for m in results.measurements:
                c = by_id[m.candidate_id]
                formula[m.candidate_id] = c.realised_formula
                by_potential = found.setdefault((m.candidate_id, c.n_atoms, m.temperature_K), {})
                by_potential.setdefault(name, []).append(m.tracer_diffusivity)
    lines = [
        "| cell | atoms | T (K) | potential | D* (10⁻⁶ cm²/s) | log10 ratio to the first | P(faster than the first) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (candidate, atoms, temperature), of in sorted(found.items()):
        if len(of) < 2:
            continue
        first = next(iter(of.values()))
        for i, (name, estimates) in enumerate(of.items()):
            probability, bound, ratio, error = probability_greater(estimates, first) if i else (None, "", None, None)
            cell = f"{formula[candidate]} | {atoms} | {temperature:g}" if not i else " | | "
            change = "-" if ratio is None else f"{ratio:+.2f} ± {error:.2f}"
            odds = odds_of(probability, bound)
            lines.append(f"| {cell} | {name} | {number(estimates[0])} | {change} | {odds} |")
    return lines if len(lines) > 2 else ["No cell was run with two potentials at one temperature."]


def pairs_table(pairs: Sequence[Pair]) -> list[str]:
    """Return one line a pair, numbered as in the figure."""
    lines = [
        "| | computed | potential | published | T (K) | quantity | computed | published | extrapolated by (K) | Ea | "
        "source |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for n, p in enumerate(pairs, 1):
        neighbour = "" if p.exact else " (neighbour)"
        origin = "assumed" if Flag.ASSUMED_EA.value in p.flags else "measured"
        lines.append(
            f"| {n} | {p.formula} | {p.potential} | {p.published_formula}{neighbour} | {p.temperature_K:.0f} | "
            f"{p.quantity} | {p.computed:.2f} ± {p.error:.2f} | {p.published:.2f} | {p.extrapolated_K:.0f} | "
            f"{origin} | {p.source} |"
        )
    return lines


def effect_of_scaling(groups: Mapping[str, Sequence[CampaignResults]], scale: float = 1.2) -> list[str]:
    """Return the pairs' statistics with and without the optional correction, for candidates with a measured Ea."""
    lines = []
    for name, members in groups.items():
        both: list[tuple[list[Pair], list[Pair]]] = [
            (pairs_of(c, e, name), pairs_of(c, other, name))
            for c, e in pooled(members)
            if (other := corrected(e, scale)) is not None
        ]
        for quantity in ("log10_sigma", "Ea_eV"):
            for factor, side in ((1.0, 0), (scale, 1)):
                s = summarise(name, [p for sides in both for p in sides[side] if p.quantity == quantity])
                if s.bias is not None:
                    rank = "-" if s.rank is None else f"{s.rank[0]:+.2f}"
                    error = "-" if s.mae is None else f"{s.mae[0]:.2f} ({s.mae[1]:.2f} to {s.mae[2]:.2f})"
                    lines.append(f"| {quantity} | {name} | {factor:g} | {s.n} | {error} | {s.bias:+.2f} | {rank} |")
    if not lines:
        return []
    return [
        f"The correction with a factor of {scale:g}, on the pairs of this page whose Ea was measured. The factor was "
        "fixed before these runs, from the barriers above, not fitted to the pairs; all other tables are without it.",
        "",
        "| quantity | potential | factor | pairs | mean absolute error | mean error | Spearman |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *lines,
        "",
    ]


def page(
    all_results: Sequence[CampaignResults],
    out: Path,
    *,
    remarks: str,
    softening: str,
    command: str,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the Markdown of the page; figures are written beside it. `notes` says more of a campaign, by its name."""
    lines = [HEAD, "## What was run", "", f"`{command}`", ""]
    pairs: list[Pair] = []
    for results in all_results:
        lines += [*size_of(results), ""]
        if notes.get(results.name):
            lines += [notes[results.name], ""]
    groups: dict[str, list[CampaignResults]] = {}
    for results in all_results:
        groups.setdefault(results.potential.name if results.potential else "unknown", []).append(results)
    for name, members in groups.items():
        by_id = {c.candidate_id: c for results in members for c in results.candidates}
        measured = [m for results in members for m in results.measurements]
        told = compare(by_id.values(), measured)
        seen = {m.run_id for m in measured}
        lost = {
            r.run.candidate_id: r.outcome
            for results in members
            for r in results.runs
            if r.outcome not in (Outcome.COMPLETED, Outcome.STOPPED_EARLY) and r.run.run_id not in seen
        }
        words = [outcome_word(t) for t in told]
        lines += [f"## Contrasts with {name}", ""]
        if told or len(groups) == 1 or any(lost_sides(contrast, by_id, lost) for contrast in CONTRASTS):
            lines += [
                f"Of {len(CONTRASTS)} contrasts {len({t.contrast.title for t in told})} were run, giving {len(told)} "
                f"comparisons: {words.count('confirmed')} confirmed, {words.count('contradicted')} contradicted, "
                f"{sum(w.startswith('undecided') for w in words)} undecided. Confirmed and contradicted mean odds of "
                "nine to one and better. D is compared at the temperature of the runs, where nothing is extrapolated; "
                "several runs of one side are averaged. `<` is an upper limit (95 %), `~` an indication.",
                "",
                *contrasts_table(told, by_id, lost),
                "",
            ]
        else:
            lines += ["No contrast was run with it.", ""]
        lines += [
            f"## Runs with {name}",
            "",
            *runs_table(
                by_id,
                measured,
                [r for results in members for r in results.relaxed],
                [r for results in members for r in results.runs],
            ),
            "",
        ]
        for candidate, estimate in pooled(members):
            pairs += pairs_of(candidate, estimate, name)
    lines += ["## Potentials side by side", "", *side_by_side(groups), ""]
    lines += ["## Activation energies", "", *arrhenius_table(groups), ""]
    lines += ["## Parity with published values", ""]
    if pairs:
        figure = out.parent / "assets" / "validation-parity.svg"
        figure.parent.mkdir(parents=True, exist_ok=True)
        pairs.sort(key=lambda p: (p.quantity, p.potential, p.family, p.formula, p.published))
        parity_figure(pairs, figure)
        assumed = sum("assumed_ea" in p.flags for p in pairs)
        lines += [
            "Numbers are those of the table below. Open squares: the published composition is a neighbour, not the "
            "same. Grey: half a decade, 0.05 eV.",
            "",
            f"![Computed against published](assets/{figure.name})",
            "",
            *statistics_table(pairs),
            "",
            "A material counts once at a temperature: its rows are averaged, for they are one computed value. "
            "Intervals are 95 %, from 2000 bootstrap samples; no rank correlation for fewer than four materials.",
        ]
        if assumed:
            lines += [
                "",
                f"{assumed} of {len(pairs)} pairs were carried to the published temperature with an *assumed* "
                "activation energy (`assumed_ea`: one temperature, or several that give none). They test the prior "
                "as much as the dynamics and are no validation of Ea.",
            ]
        lines += ["", *pairs_table(pairs), ""]
    else:
        lines += ["No candidate that was run has both a computed value and a published one.", ""]
    if softening:
        lines += ["## Softening of universal potentials", "", softening.strip(), ""]
    lines += effect_of_scaling(groups)
    if remarks:
        lines += ["## Remarks", "", remarks.strip(), ""]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Write docs/validation.md from results folders.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "docs" / "validation.md")
    parser.add_argument("--remarks", type=Path, default=HERE / "remarks.md")
    parser.add_argument("--softening", type=Path, default=HERE / "softening.md", help="what softening.py printed")
    options = parser.parse_args(argv)
    texts = [p.read_text(encoding="utf-8") if p.is_file() else "" for p in (options.remarks, options.softening)]
    names = " ".join(f"runs/{folder.resolve().name}" for folder in options.folders)
    try:
        loaded = [up_to_date(load_results(folder), folder) for folder in options.folders]
        (options.out.parent / "assets").mkdir(parents=True, exist_ok=True)
    except (IonsieveError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2
    text = page(
        [results for results, _ in loaded],
        options.out,
        remarks=texts[0],
        softening=texts[1],
        command=f"python benchmarks/validation/report.py {names} --out docs/validation.md",
        notes={results.name: note for results, note in loaded},
    )
    options.out.write_text(text, encoding="utf-8")
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
