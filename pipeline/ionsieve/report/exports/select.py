"""Which candidates an export writes, each with its structure: relaxed where there is one, else as generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ionsieve.errors import InputError, nearest
from ionsieve.records import Candidate, CrystalStructure, RankedCandidate
from ionsieve.report.source import CampaignResults

__all__ = ["Chosen", "choose", "stem"]


@dataclass(frozen=True)
class Chosen:
    """One candidate to write; `energy_eV` belongs to `structure` and is None when it was not relaxed."""

    candidate: Candidate
    row: RankedCandidate
    structure: CrystalStructure | None
    energy_eV: float | None
    relaxed: bool


def choose(results: CampaignResults, *, top: int | None = None, candidates: Sequence[str] = ()) -> tuple[Chosen, ...]:
    """Return the asked candidates in the order of the ranking; all when nothing is asked.

    Raises
    ------
    InputError
        When an id is unknown or nothing is left.
    """
    known = {c.candidate_id: c for c in results.candidates}
    for name in candidates:
        if name not in known:
            close = nearest(name, known)
            raise InputError(
                f"no candidate is called {name!r}",
                key="--candidate",
                remedy=f"did you mean {close!r}?" if close else "`ionsieve rank FOLDER --csv` lists them",
            )
    rows = [row for row in results.ranking.rows if row.candidate_id in known]
    if candidates:
        rows = [row for row in rows if row.candidate_id in candidates]
    elif top is not None:
        rows = [row for row in rows if row.rank is not None and row.rank <= top]
        if not rows:
            raise InputError(
                "no candidate is ranked yet, so there are no winners to write",
                where=results.folder,
                remedy="name candidates with --candidate, or let the campaign go on",
            )
    chosen = []
    for row in rows:
        configurations = results.configurations_of(row.candidate_id)
        best = next((r for c in configurations if (r := results.relaxed_of(c.configuration_id))), None)
        structure = best.structure if best else configurations[0].structure if configurations else None
        energy = best.energy_eV if best else None
        chosen.append(Chosen(known[row.candidate_id], row, structure, energy, best is not None))
    return tuple(chosen)


def stem(chosen: Chosen) -> str:
    """Return a file name that sorts by rank: ``001_Na3PS4--...``; unranked ones start with their section."""
    place = f"{chosen.row.rank:03d}" if chosen.row.rank is not None else chosen.row.section
    return f"{place}_{chosen.candidate.candidate_id}"
