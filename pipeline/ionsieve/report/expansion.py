"""Thermal expansion of the winners from NPT dynamics with the campaign's potential, on demand.

Method       each cell at each temperature under a barostat; the mean volume of the second half; ln V against T
Validity     the error is that of the line through the volumes; a cell of 100 atoms fluctuates by half a per cent in
             volume, so that some ps a temperature give the expansion to about a quarter of its value
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ionsieve.dynamics import DynamicsSettings, Job, simulate
from ionsieve.ranking.properties import linear_expansion
from ionsieve.report.exports.select import Chosen
from ionsieve.report.exports.structures import with_structures

if TYPE_CHECKING:
    from ionsieve.potentials.base import Potential

__all__ = ["TEMPERATURES_K", "expansion_rows"]

#: Between room temperature and where most electrolytes are sintered or begin to melt in short runs.
TEMPERATURES_K = (300.0, 450.0, 600.0, 750.0)


def expansion_rows(
    chosen: Sequence[Chosen],
    potential: Potential,
    settings: DynamicsSettings,
    scratch: Path,
    *,
    length_ps: float = 10.0,
    temperatures_K: Sequence[float] = TEMPERATURES_K,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, float]]:
    """Return linear thermal expansion and its error by candidate id; nothing for one whose cell did not survive.

    Parameters
    ----------
    chosen
        Candidates with structures.
    potential
        Of the campaign.
    settings
        Of the campaign's dynamics: engine, time step, barostat and guards are taken from them.
    scratch
        Folder in which trajectories live while the runs last.
    length_ps
        NPT run at each temperature; the second half counts.
    """
    told = settings.model_copy(update={"npt_ps": length_ps, "equilibrate_ps": 0.0})
    pairs = with_structures(chosen)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".expansion-") as folder:
        jobs = [
            Job(
                run_id=f"{one.candidate.candidate_id}--{T:g}K",
                atoms=crystal.to_ase(),
                temperature_K=T,
                seed_names=(seed, "expansion", one.candidate.candidate_id),
                folder=Path(folder) / f"{i}-{T:g}",
                mobile=(one.candidate.mobile_ion,),
                produce_ps=settings.frame_interval_fs / 1000.0,
            )
            for i, (one, crystal) in enumerate(pairs)
            for T in temperatures_K
        ]
        tell(f"thermal expansion: {len(jobs)} NPT runs of {length_ps:g} ps")
        volumes: dict[str, list[tuple[float, float]]] = {}
        for job, end in zip(jobs, simulate(jobs, potential, told), strict=True):
            if end.state == "done" and end.summary is not None and end.summary.volume_A3 is not None:
                volumes.setdefault(job.run_id.rsplit("--", 1)[0], []).append(
                    (job.temperature_K, end.summary.volume_A3 / len(job.atoms))
                )
            else:
                tell(f"{job.run_id} ended early: {end.reason or end.outcome.sentence}")
    return {name: found for name, points in volumes.items() if (found := linear_expansion([points]))}
