"""What a finished run leaves for people: tables, structures, the report, and a table on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ionsieve.report import CampaignResults
    from ionsieve.screening import RunReport

__all__ = ["EXIT_FAILED_CANDIDATES", "finish", "publish"]

EXIT_FAILED_CANDIDATES = 3


def finish(folder: Path, ended: RunReport, *, report: bool) -> int:
    """Publish and print the results of a run that ended; return the exit code.

    0: every candidate has a number or a limit; 3: some failed, with reasons; 130: interrupted, run the command again.
    """
    from ionsieve.cli.table import print_ranking
    from ionsieve.report import load_results

    if ended.exit_code == 130:
        typer.secho(
            "interrupted; the same command continues where it stopped, `ionsieve rank` shows what is known so far",
            fg=typer.colors.YELLOW,
            err=True,
        )
        return 130
    results = load_results(folder)
    written = publish(results, folder, report=report)
    print_ranking(results.ranking)
    typer.echo("")
    for path in written:
        typer.echo(f"{path.name if path.is_dir() else path.suffix[1:]:<12}{path}")
    failed = any(row.section == "failed" for row in results.ranking.rows)
    return EXIT_FAILED_CANDIDATES if failed or ended.exit_code else 0


def publish(results: CampaignResults, folder: Path, *, report: bool = True) -> list[Path]:
    """Write ``ranking.csv``, ``ranking.json``, the relaxed structures as CIF and ``report.html`` into the folder."""
    from ionsieve.ranking import to_csv
    from ionsieve.report import write_report
    from ionsieve.store.folder import safe_name, write_file

    write_file(folder / "ranking.csv", to_csv(results.ranking))
    write_file(folder / "ranking.json", results.ranking.to_json())
    structures = folder / "structures"
    structures.mkdir(exist_ok=True)
    for relaxed in results.relaxed:
        name = safe_name(f"{relaxed.configuration_id}.cif", what="configuration's name")
        crystal = relaxed.structure.to_pymatgen()
        crystal.relabel_sites()  # labels of a CIF are unique; ours name the prototype's site
        write_file(structures / name, crystal.to(fmt="cif"))
    written = [folder / "ranking.csv", folder / "ranking.json", structures]
    if report:
        written.append(write_report(results, folder / "report.html"))
    return written
