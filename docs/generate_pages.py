"""Write the reference pages that are made from the code: ``python docs/generate_pages.py``."""

from __future__ import annotations

from pathlib import Path

from ionsieve.quantities import QUANTITIES
from ionsieve.verdicts import Flag, Outcome, Verdict

HERE = Path(__file__).parent / "reference"


def words() -> str:
    """Outcomes, verdicts and flags with their sentences."""
    lines = [
        "# Outcomes, verdicts and flags",
        "",
        "Made from `ionsieve/verdicts.py`; tables and reports print these sentences and no others.",
        "",
    ]
    for title, kind in (
        ("Outcomes: how a stage ended", Outcome),
        ("Verdicts: what kind of statement a number is", Verdict),
    ):
        lines += [f"## {title}", "", "| word | meaning |", "| --- | --- |"]
        lines += [f"| `{member.value}` | {member.sentence} |" for member in kind] + [""]
    lines += ["## Flags: what limits the trust", "", "| flag | severity | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{flag.value}` | {flag.severity.value} | {flag.sentence} |" for flag in Flag]
    return "\n".join(lines) + "\n"


def quantities() -> str:
    """The register of quantities."""
    lines = [
        "# Quantities and notation",
        "",
        "Made from `ionsieve/quantities.py`: one key, one symbol, one unit and one meaning everywhere.",
        "",
        "| key | symbol | unit | better | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for q in QUANTITIES.values():
        lines.append(f"| `{q.key}` | {q.symbol} | {q.unit or '-'} | {q.good} | {q.meaning} |")
    return "\n".join(lines) + "\n"


PAGES = {"flags.md": words, "quantities.md": quantities}


def main() -> None:
    """Write all pages."""
    HERE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
