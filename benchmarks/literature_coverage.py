"""Every formula of the literature table: the supercell that realises it, or why it is refused.

    python benchmarks/literature_coverage.py [--small]     # --small: no orderings, compositions only

A formula passes when every amount is within 2 % of its target and at least one ordered structure passes its checks.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from typing import Any

from ionsieve.resources import data_folder


def prototype_of(formula: str, phase: str) -> str | None:
    """The shipped prototype that the table's phase names, where there are several."""
    named = {
        ("Na3Zr2Si2PO12", "C2/c"): "Na3Zr2Si2PO12_C2c",
        ("Na3PS4", "P-42_1c"): "Na3PS4_P-421c",
        ("Na2.9375PS3.9375Cl0.0625", "P-42_1c"): "Na3PS4_P-421c",
        ("Na3SbS4", "P-42_1c"): "Na3SbS4_P-421c",
    }
    return named.get((formula, phase))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="compositions only")
    arguments = parser.parse_args(argv)
    from ionsieve.generate import GenerateSettings, configure, expand
    from ionsieve.verdicts import Outcome

    start = time.perf_counter()
    done: dict[tuple[str, str | None], Any] = {}
    lines, passed, refused, off = [], 0, 0, 0
    with (data_folder("literature") / "conductivity.csv").open(encoding="utf-8") as stream:
        wanted = [(row["formula"], prototype_of(row["formula"], row["phase"])) for row in csv.DictReader(stream)]
    for formula, prototype in dict.fromkeys(wanted):
        settings = GenerateSettings.model_validate(
            {"recipes": [{"formula": formula, "prototype": prototype}], "ordering": {"n_configurations": 1}}
        )
        (candidate,) = expand(settings)
        made, configurations = (candidate, ()) if arguments.small else configure(candidate, settings, seed=0)
        done[formula, prototype] = made
        if made.outcome is not Outcome.COMPLETED:
            refused += 1
            lines.append(f"| {formula} | {made.prototype} | - | - | - | - | {made.outcome.value}: {made.reason} |")
            continue
        good = (made.composition_error or 0.0) <= 0.02 + 1e-9
        passed, off = passed + good, off + (not good)
        cell = " / ".join(" ".join(map(str, row)) for row in made.supercell)
        cell += "" if made.supercell_of == "conventional" else " (primitive)"
        flags = sorted({f.value for f in made.flags} | {f.value for k in configurations for f in k.flags})
        words = "; ".join([made.compensation, ", ".join(flags)] if flags else [made.compensation])
        lines.append(
            f"| {formula} | {made.prototype} | {made.realised_formula} | {cell} | {made.n_atoms} | "
            f"{100 * (made.composition_error or 0.0):.2f} % | {words} |"
        )
    print("\n| formula | prototype | realised | supercell | atoms | largest error | compensation; flags |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    print(
        f"\n{len(done)} formulas: {passed} within 2 %, {refused} refused, {off} outside; "
        f"{time.perf_counter() - start:.1f} s"
    )
    print(f"\n`python benchmarks/literature_coverage.py{' --small' if arguments.small else ''}`")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
