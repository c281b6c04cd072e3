"""The prototype library: idealised crystals with labelled sites, read from a CIF and a YAML of the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ionsieve.errors import InputError, ProblemsError, nearest
from ionsieve.generate.cif import CifStructure, read_cif
from ionsieve.generate.groups import GROUPS
from ionsieve.generate.ions import EXCLUSION_A, EXCLUSION_OTHER_A
from ionsieve.generate.lattice import primitive_vectors
from ionsieve.resources import data_folder

__all__ = ["Dopable", "Prototype", "Site", "find", "is_file_name", "load", "names", "validate"]


@dataclass(frozen=True)
class Site:
    """One crystallographic site: all its positions in the conventional cell.

    Attributes
    ----------
    occupancy
        Species (element or cluster anion) to fraction; what is missing to 1 is vacant.
    positions
        (m, 3), fractional, in [0, 1).
    mobile, interstitial
        Whether the mobile ion lives here; whether the site is empty in the parent.
    """

    label: str
    wyckoff: str
    occupancy: dict[str, float]
    positions: NDArray[np.float64]
    mobile: bool
    interstitial: bool = False
    note: str = ""

    @property
    def multiplicity(self) -> int:
        """Positions a conventional cell."""
        return int(self.positions.shape[0])

    @property
    def vacant(self) -> float:
        """Vacant fraction."""
        return max(0.0, 1.0 - sum(self.occupancy.values()))


@dataclass(frozen=True)
class Dopable:
    """Sites that take dopants, and which with what charge."""

    label: str
    sites: tuple[str, ...]
    dopants: dict[str, int]
    coordination: str = ""
    known: str = ""


@dataclass(frozen=True, eq=False)
class Prototype:
    """An idealised crystal.

    Attributes
    ----------
    cell
        Conventional cell, Å, rows are vectors.
    primitive
        Rows are primitive vectors in units of the conventional ones.
    rotations, translations
        Space-group operations on fractional columns, centring included.
    exclusions_A
        Pair of site labels (sorted) to the distance in Å below which only one of the two may be occupied.
    sha256
        Digest of CIF and YAML.
    """

    name: str
    formula: str
    family: str
    mobile_ion: str
    charges: dict[str, int]
    z: int
    cell: NDArray[np.float64]
    primitive: NDArray[np.float64]
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]
    sites: tuple[Site, ...]
    dopable: tuple[Dopable, ...]
    exclusions_A: dict[tuple[str, str], float]
    polyanions: tuple[tuple[str, str, float], ...]
    sha256: str
    space_group: str = ""
    source: str = ""
    doi: str = ""
    quality: str = ""
    location: str = ""
    data: dict[str, Any] | None = None

    @property
    def mobile_charge(self) -> int:
        """Charge number z of the mobile ion."""
        return self.charges[self.mobile_ion]

    @property
    def formula_units_per_primitive(self) -> float:
        """Formula units in the primitive cell."""
        return self.z * abs(float(np.linalg.det(self.primitive)))

    def site(self, label: str) -> Site:
        """The site of that label."""
        return next(s for s in self.sites if s.label == label)

    def per_formula_unit(self, site: Site) -> float:
        """Positions of the site a formula unit."""
        return site.multiplicity / self.z

    @property
    def composition(self) -> dict[str, float]:
        """Amounts a formula unit, mobile ion first, then in the order of the sites."""
        out: dict[str, float] = {self.mobile_ion: 0.0}
        for site in self.sites:
            for species, fraction in site.occupancy.items():
                out[species] = out.get(species, 0.0) + fraction * self.per_formula_unit(site)
        return {s: round(a, 6) for s, a in out.items() if a > 1e-9}

    def listed_charge(self, species: str) -> int | None:
        """Charge of a species where the prototype states one."""
        if species in self.charges:
            return self.charges[species]
        return next((d.dopants[species] for d in self.dopable if species in d.dopants), None)


def names(library: Sequence[str | Path] = ()) -> list[str]:
    """Names of all prototypes: those of the given folders and the shipped ones, sorted."""
    found = {p.stem for folder in _folders(library) for p in folder.glob("*.yaml") if p.with_suffix(".cif").is_file()}
    return sorted(found)


def is_file_name(name: str) -> bool:
    """Whether a prototype is given by the path of its YAML or CIF."""
    return name.endswith((".yaml", ".yml", ".cif"))


def find(name: str | Path, library: Sequence[str | Path] = ()) -> Path:
    """Return the YAML file of a prototype: a path (YAML or CIF), or a name.

    Raises
    ------
    InputError
        When there is none; the nearest name is suggested.
    """
    text = str(name)
    if is_file_name(text):
        path = Path(text) if Path(text).suffix != ".cif" else Path(text).with_suffix(".yaml")
        if path.is_file():
            return path
        raise InputError(
            "no such prototype file",
            where=str(path),
            expected="a YAML beside a CIF of the same name",
            remedy="the guide shows the schema; `ionsieve prototypes NAME` shows a shipped one",
        )
    for folder in _folders(library):
        if (folder / f"{text}.yaml").is_file():
            return folder / f"{text}.yaml"
    known = names(library)
    close = nearest(text, known)
    raise InputError(
        f"unknown prototype {text!r}",
        found=text,
        expected="a name that `ionsieve prototypes` lists, or the path of a YAML file",
        remedy=f"did you mean {close!r}?" if close else "",
    )


def load(name: str | Path, library: Sequence[str | Path] = ()) -> Prototype:
    """Load a prototype by name or path.

    Raises
    ------
    InputError
        When there is none of that name; the nearest is suggested.
    ProblemsError
        When its files are wrong, with everything that is missing.
    """
    path = find(name, library)
    cif = path.with_suffix(".cif")
    if not cif.is_file():
        raise InputError("the prototype has no CIF", where=str(path), expected=str(cif))
    return _load(str(path), _digest(path, cif))


def validate(path: str | Path) -> list[str]:
    """Return everything that is wrong with a prototype's files, as sentences; empty when it can be used."""
    from ionsieve.generate.validation import problems_of

    return [str(p) for p in problems_of(Path(path))]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a prototype's YAML.

    Raises
    ------
    InputError
        When it is no YAML mapping.
    """
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("the file holds no mapping", where=str(path), expected="keys like name, formula, mobile_ion")
    return data


def _folders(library: Sequence[str | Path]) -> list[Path]:
    own = [Path(folder) for folder in library]
    for folder in own:
        if not folder.is_dir():
            raise InputError("no such library folder", where=str(folder), key="generate.library")
    return [*own, data_folder("structures")]


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{len(content)}\n".encode() + content)
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _load(path: str, sha256: str) -> Prototype:
    from ionsieve.generate.validation import problems_of

    problems = problems_of(Path(path))
    if problems:
        raise ProblemsError(problems)
    return build(Path(path), read_yaml(Path(path)), read_cif(Path(path).with_suffix(".cif")), sha256)


def site_label(row_label: str) -> str:
    """Label of the site that a CIF row sits on: ``Cl_X1`` and ``S_X1`` share the site ``X1``."""
    return row_label.rsplit("_", 1)[-1]


def orbit(cif: CifStructure, xyz: Sequence[float], tolerance_A: float = 0.02) -> NDArray[np.float64]:
    """All positions of a site, (m, 3) fractional in [0, 1)."""
    points = (np.einsum("oij,j->oi", cif.rotations, np.asarray(xyz, dtype=float)) + cif.translations) % 1.0
    kept: list[NDArray[np.float64]] = []
    for point in points:
        if kept:
            delta = np.array(kept) - point
            delta -= np.round(delta)
            if np.linalg.norm(delta @ cif.cell, axis=1).min() < tolerance_A:
                continue
        kept.append(np.where(point > 1 - 1e-9, 0.0, point))
    return np.array(kept)


def build(path: Path, data: dict[str, Any], cif: CifStructure, sha256: str) -> Prototype:
    """Put YAML and CIF together (both already found sound)."""
    mobile_ion = str(data["mobile_ion"])
    absorbed = {label for g in data.get("groups") or [] for label in g.get("absorbs", [])}
    group_at = {g["site"]: g["group"] for g in data.get("groups") or []}
    rows: dict[tuple[float, ...], list[Any]] = {}
    for row in cif.rows:
        if row.label not in absorbed:
            rows.setdefault(tuple(round(x % 1.0, 5) for x in row.xyz), []).append(row)
    notes = {m["label"]: m for m in data.get("mobile_sites") or []}
    sites = []
    for shared in rows.values():
        label = site_label(shared[0].label)
        occupancy: dict[str, float] = {}
        for row in shared:
            species = group_at.get(row.label, row.element)
            occupancy[species] = occupancy.get(species, 0.0) + row.occupancy
        mobile = label in notes
        sites.append(
            Site(
                label=label,
                wyckoff=shared[0].wyckoff,
                occupancy=occupancy,
                positions=orbit(cif, shared[0].xyz),
                mobile=mobile,
                note=str(notes.get(label, {}).get("note", "")),
            )
        )
    placed = {s.label for s in sites}
    for entry in data.get("mobile_sites") or []:
        if entry["label"] not in placed and entry.get("xyz") is not None:
            sites.append(
                Site(
                    label=entry["label"],
                    wyckoff=str(entry.get("wyckoff") or ""),
                    occupancy={},
                    positions=orbit(cif, entry["xyz"]),
                    mobile=True,
                    interstitial=True,
                    note=str(entry.get("note", "")),
                )
            )
    charges = {str(k): int(v) for k, v in data["oxidation_states"].items()}
    charges.update({g: GROUPS[g].charge for g in group_at.values()})
    rotations, translations = _space_group(cif, sites)
    return Prototype(
        name=path.stem,
        formula=str(data["formula"]),
        family=str(data["family"]),
        mobile_ion=mobile_ion,
        charges=charges,
        z=int(data["z"]),
        cell=cif.cell,
        primitive=primitive_vectors(cif.cell, rotations, translations),
        rotations=rotations,
        translations=translations,
        sites=tuple(sites),
        dopable=tuple(
            Dopable(
                label=str(d["label"]),
                sites=tuple(d.get("sites") or [d["label"]]),
                dopants={str(k): int(v) for k, v in (d.get("dopants") or {}).items()},
                coordination=str(d.get("coordination") or ""),
                known=str(d.get("dopants_known") or ""),
            )
            for d in data.get("dopable_sites") or []
        ),
        exclusions_A=_exclusions(data, sites, mobile_ion),
        polyanions=tuple((str(a), str(b), float(c)) for a, b, c in data.get("polyanions") or []),
        sha256=sha256,
        space_group=str(data.get("space_group") or ""),
        source=str(data.get("source") or ""),
        doi=str(data.get("doi") or ""),
        quality=str(data.get("source_quality") or ""),
        location=str(path),
        data=data,
    )


def _space_group(cif: CifStructure, sites: list[Site]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Operations of the CIF; for a P1 file those that spglib finds in the average structure."""
    if len(cif.rotations) > 1:
        return cif.rotations, cif.translations
    import spglib

    kinds: dict[Any, int] = {}
    points: list[NDArray[np.float64]] = []
    types: list[int] = []
    for site in sites:
        content = (tuple(sorted((s, round(f, 4)) for s, f in site.occupancy.items())), site.mobile)
        kind = kinds.setdefault(content, len(kinds) + 1)
        points.extend(site.positions)
        types.extend([kind] * site.multiplicity)
    found = spglib.get_symmetry((cif.cell, np.array(points), types), symprec=1e-3)
    if found is None:
        return cif.rotations, cif.translations
    return np.asarray(found["rotations"], dtype=np.int64), np.asarray(found["translations"], dtype=float)


def _exclusions(data: dict[str, Any], sites: list[Site], mobile_ion: str) -> dict[tuple[str, str], float]:
    """Distances below which two sites exclude each other: all pairs of mobile sites, and pairs that the YAML lists."""
    own = data.get("exclusion_distances_A") or {}
    limit = float(own.get(mobile_ion, EXCLUSION_A.get(mobile_ion, EXCLUSION_OTHER_A)))
    mobile = sorted(s.label for s in sites if s.mobile)
    out = {(a, b): limit for i, a in enumerate(mobile) for b in mobile[i:]}
    known = {s.label: s for s in sites}
    for key, shortest in ((data.get("checks") or {}).get("mutually_exclusive_pairs_A") or {}).items():
        a, b = sorted(str(key).split("-"))
        if a not in known or b not in known or (a, b) in out:
            continue
        species = [*known[a].occupancy, *known[b].occupancy]
        usual = min((EXCLUSION_A.get(s, EXCLUSION_OTHER_A) for s in species), default=EXCLUSION_OTHER_A)
        out[a, b] = max(float(shortest) + 0.05, usual)
    return out
