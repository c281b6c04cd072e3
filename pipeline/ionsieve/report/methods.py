# ruff: noqa: E501  (the table of references reads better in one line each)
"""The methods paragraph: what was done, with which software and numbers, and what to cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ionsieve.report.source import CampaignResults

__all__ = ["REFERENCES", "MethodsView", "Reference", "methods_view"]


@dataclass(frozen=True)
class Reference:
    """One work to cite, with the reason."""

    key: str
    text: str
    doi: str
    why: str


REFERENCES: dict[str, Reference] = {
    r.key: r
    for r in (
        Reference("he2018", "X. He, Y. Zhu, A. Epstein, Y. Mo, npj Comput. Mater. 4 (2018) 18", "10.1038/s41524-018-0074-y", "errors of diffusivities from molecular dynamics"),
        Reference("mccluskey2025", "A. R. McCluskey, S. W. Coles, B. J. Morgan, J. Chem. Theory Comput. 21 (2025) 79", "10.1021/acs.jctc.4c01249", "generalised least squares on correlated displacements"),
        Reference("deng2023", "B. Deng et al., Nat. Mach. Intell. 5 (2023) 1031", "10.1038/s42256-023-00716-3", "the CHGNet potential"),
        Reference("batatia2022", "I. Batatia et al., NeurIPS 35 (2022) 11423", "10.48550/arXiv.2206.07697", "the MACE architecture"),
        Reference("deng2025", "B. Deng et al., npj Comput. Mater. 11 (2025) 9", "10.1038/s41524-024-01500-6", "softening of universal potentials"),
        Reference("bussi2007", "G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126 (2007) 014101", "10.1063/1.2408420", "the thermostat"),
        Reference("willems2012", "T. F. Willems et al., Microporous Mesoporous Mater. 149 (2012) 134", "10.1016/j.micromeso.2011.08.020", "the geometry of channels"),
        Reference("ong2013", "S. P. Ong et al., Comput. Mater. Sci. 68 (2013) 314", "10.1016/j.commatsci.2012.10.028", "pymatgen"),
        Reference("larsen2017", "A. H. Larsen et al., J. Phys.: Condens. Matter 29 (2017) 273002", "10.1088/1361-648X/aa680e", "ASE"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class MethodsView:
    """Paragraphs, identities, versions, references, and how to make the same table again."""

    paragraphs: tuple[str, ...]
    identities: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    references: tuple[Reference, ...]
    reproduce: tuple[str, ...]


def methods_view(results: CampaignResults) -> MethodsView:
    """Return what to print about the methods of a campaign."""
    ranking = results.ranking
    potential = results.potential
    runs = [r for r in results.runs if r.summary]
    paragraphs = []
    families = sorted({c.family for c in results.candidates})
    prototypes = sorted({c.prototype for c in results.candidates})
    sizes = [c.n_atoms for c in results.candidates if c.n_atoms]
    if sizes:
        paragraphs.append(
            f"{len(results.candidates)} compositions on {len(prototypes)} prototype structures ({', '.join(prototypes)};"
            f" families {', '.join(families)}) were made as charge-neutral supercells of {_span(sizes)} atoms,"
            f" {len(results.configurations)} ordered cells in all."
        )
    if runs:
        first = runs[0]
        temperatures = sorted({r.run.temperature_K for r in runs})
        steps = sorted({r.summary.dt_fs for r in runs if r.summary})
        lengths = [r.summary.length_ps for r in runs if r.summary]
        paragraphs.append(
            f"{len(runs)} molecular-dynamics runs with the potential {first.potential.name} at"
            f" {', '.join(f'{T:g}' for T in temperatures)} K (integrator"
            f" {', '.join(sorted({r.integrator for r in runs}))}, time step {', '.join(f'{s:g}' for s in steps)} fs,"
            f" production of {_span(lengths)} ps each)."
        )
        paragraphs.append(
            "Tracer diffusivities of the mobile ion were fitted to its mean-squared displacement in the frame of the"
            " framework with the correlation of the displacements accounted for; conductivities follow by"
            " Nernst-Einstein with the charge number squared, and an Arrhenius fit with its full covariance carries"
            f" them to {ranking.target_temperature_K:g} K."
        )
    settings = ranking.settings
    paragraphs.append(
        "Candidates are ordered by their expected rank under the posterior of the conductivity at"
        f" {ranking.target_temperature_K:g} K ({settings.get('samples', 0)} samples, seed {settings.get('seed', 0)})."
        " Probabilities of reaching a target add an error of the potential of"
        f" {settings.get('shared_model_error_decades', 0)} decades common to all candidates."
    )
    paragraphs.extend(
        f"{key.replace('_', ' ').capitalize()}: {source[:1].lower()}{source[1:]}"
        for key in ("cost_class", "hazard_class")
        if (source := ranking.column_sources.get(key))
    )
    identities = []
    if potential:
        identities += [
            ("potential", potential.name),
            ("SHA-256 of the potential", potential.sha256),
            ("precision", potential.dtype),
            ("device", potential.device),
        ]
        if potential.version:
            identities.append(("version of the potential", potential.version))
    if results.campaign.get("seed") is not None:
        identities.append(("seed of the campaign", str(results.campaign["seed"])))
    return MethodsView(
        paragraphs=tuple(paragraphs),
        identities=tuple(identities),
        versions=_software(results),
        references=tuple(REFERENCES[k] for k in _cited(results, dict(results.versions))),
        reproduce=(
            "ionsieve run CAMPAIGN.yaml        # the frozen campaign lies in the results folder",
            "ionsieve rank FOLDER              # equal stored runs give an equal table, byte by byte",
            "ionsieve report FOLDER",
        ),
    )


def _software(results: CampaignResults) -> tuple[tuple[str, str], ...]:
    """Return what made the records, then what this page is made with."""
    made = sorted(
        (f"records made with {k}", str(v)) for k, v in results.versions.items() if not k.startswith("potential ")
    )
    today = ", ".join(f"{k} {v}" for k, v in results.report_versions.items())
    return (*made, *([("report made with", today)] if today else []))


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _cited(results: CampaignResults, versions: Mapping[str, str]) -> tuple[str, ...]:
    name = (results.potential.name if results.potential else "").lower()
    keys = ["he2018", "mccluskey2025"]
    if "chgnet" in name:
        keys += ["deng2023", "deng2025"]
    if "mace" in name:
        keys += ["batatia2022", "deng2025"]
    if any(r.integrator == "csvr" for r in results.runs):
        keys.append("bussi2007")
    if results.descriptors:
        keys.append("willems2012")
    return (*keys, "ong2013", "larsen2017")
