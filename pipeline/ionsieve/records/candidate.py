"""Candidate and Configuration: what `generate` makes."""

from __future__ import annotations

from typing import Any, ClassVar

from ionsieve.records.base import Frozen, Record
from ionsieve.records.structure import CrystalStructure
from ionsieve.verdicts import Flag, Outcome

__all__ = ["Candidate", "Check", "Configuration", "GeneratedCandidate", "SiteChange"]


class SiteChange(Frozen):
    """What was put on one prototype site: ``{"Zr": 1.9, "Mg": 0.1}`` atoms per formula unit, before and after."""

    site: str
    before: dict[str, float]
    after: dict[str, float]


class Check(Frozen):
    """One check of a generated structure: its number, its bounds, and whether it holds."""

    name: str
    passed: bool
    value: float | None = None
    unit: str = ""
    bounds: str = ""
    detail: str = ""


class Candidate(Record):
    """One composition on one prototype, realised by one supercell (or refused, with the reason).

    Attributes
    ----------
    candidate_id
        Readable and unique in a campaign, safe as a file name, for example ``Na3PS4_P-421c--Cl_S-0.0625``.
    target_formula, realised_formula
        Per formula unit of the prototype.
    composition
        Realised amounts per formula unit, vacancies left out.
    changes, compensation, compensation_reason
        What was substituted where; the named mechanism and why it was chosen.
    supercell
        Integer matrix, rows in terms of the prototype's conventional vectors, or of its primitive ones when
        `supercell_of` says so (provenance then holds the primitive vectors).
    n_atoms, min_image_A, composition_error
        Of the realised cell; the error is the largest deviation of an amount per formula unit, relative to its target.
    outcome, reason
        ``completed``, or why no structure can be made.
    """

    SCHEMA: ClassVar[int] = 1

    candidate_id: str
    prototype: str
    family: str
    mobile_ion: str
    mobile_charge: int
    target_formula: str
    realised_formula: str = ""
    composition: dict[str, float] = {}
    undoped: bool = False
    changes: tuple[SiteChange, ...] = ()
    compensation: str = "none"
    compensation_reason: str = ""
    supercell: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]] = (
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    )
    supercell_of: str = "conventional"
    n_atoms: int = 0
    formula_units: int = 0
    min_image_A: float | None = None
    composition_error: float | None = None
    framework: tuple[str, ...] = ()
    polyanions: tuple[tuple[str, str, float], ...] = ()
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    provenance: dict[str, Any] = {}


class Configuration(Record):
    """One ordered cell of a candidate.

    Attributes
    ----------
    configuration_id
        ``{candidate_id}--c0``, safe as a file name.
    method, seed
        How it was ordered (``ewald``, ``thermal``, ``random``, ``sqs``) and the seed.
    ewald_energy_eV
        Electrostatic energy of the cell with formal charges.
    degeneracy
        How many sampled orderings were merged into it by symmetry.
    mobile_sites_A, mobile_site_labels
        Cartesian positions of every mobile site of the prototype in this cell, occupied or empty, and their labels.
    """

    SCHEMA: ClassVar[int] = 1

    configuration_id: str
    candidate_id: str
    index: int
    structure: CrystalStructure
    method: str
    seed: int
    ewald_energy_eV: float | None = None
    degeneracy: int = 1
    mobile_sites_A: tuple[tuple[float, float, float], ...] = ()
    mobile_site_labels: tuple[str, ...] = ()
    dopant_vacancy_distances_A: tuple[float, ...] = ()
    checks: tuple[Check, ...] = ()
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    flags: tuple[Flag, ...] = ()
    provenance: dict[str, Any] = {}


class GeneratedCandidate(Record):
    """What the generate stage returns: a candidate with its ordered configurations (none when it was refused)."""

    SCHEMA: ClassVar[int] = 1

    candidate: Candidate
    configurations: tuple[Configuration, ...] = ()
