"""The stages' questions bound to one campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ionsieve.campaign import Campaign
from ionsieve.records import Candidate
from ionsieve.screening.funnel import FunnelSettings
from ionsieve.screening.material import Material
from ionsieve.screening.plan import SetAside, Subject
from ionsieve.stages import fit, generate, measure, rank, relax, sieve, simulate
from ionsieve.store.address import Request

__all__ = ["CampaignBuilders", "funnel_settings", "subjects"]


class CampaignBuilders:
    """Words the questions of one campaign through the stages' `request` functions."""

    def __init__(self, campaign: Campaign, material: Material) -> None:
        self.campaign = campaign
        self.material = material

    def generate(self, subject: Subject) -> Request:
        """Ask for a candidate's configurations."""
        return generate.request(subject.record, self.campaign)

    def sieve(self, generate: str, index: int) -> Request:
        """Ask for the channels of one configuration."""
        return sieve.request(generate, index, self.campaign)

    def relax(self, generate: str, index: int) -> Request:
        """Ask for the relaxation of one configuration."""
        return relax.request(generate, index, self.campaign, potential=self.material.potential)

    def simulate(
        self, subject: Subject, relax: str, generate: str, index: int, temperature_K: float, replica: int
    ) -> Request:
        """Ask for one run."""
        return simulate.request(
            relax,
            generate,
            index,
            self.campaign,
            family=subject.record.family,
            temperature_K=temperature_K,
            replica=replica,
            potential=self.material.potential,
        )

    def measure(self, simulate: str, generate: str, index: int) -> Request:
        """Ask for the transport of one run."""
        return measure.request(simulate, generate, index, self.campaign)

    def fit(self, measure: Sequence[str]) -> Request:
        """Ask for a candidate's estimate."""
        return fit.request(measure, self.campaign)

    def rank(self, keys: Mapping[str, Sequence[str]], aside: Sequence[SetAside] = ()) -> Request:
        """Ask for the table."""
        lost = [rank.Lost(a.subject.record, a.stage, a.label, a.why) for a in aside]
        known = {name: list(keys.get(name, ())) for name in _RANKED}
        return rank.request(self.campaign, **known, lost=lost, columns=self.material.columns)


_RANKED = ("generate", "sieve", "relax", "simulate", "measure", "fit")


def subjects(campaign: Campaign, candidates: Sequence[Candidate]) -> list[Subject]:
    """Return the candidates as planning sees them, with the runs of their families."""
    plan = campaign.simulate
    return [
        Subject(c.candidate_id, c, plan.temperatures_for(c.family), plan.replicas_for(c.family)) for c in candidates
    ]


def funnel_settings(campaign: Campaign) -> FunnelSettings | None:
    """Return what the funnel is told, or None when the campaign asks for every run."""
    told = campaign.run
    if told.policy == "exhaustive":
        return None
    return FunnelSettings(
        top_k=campaign.ranking.top_k,
        drop_probability=told.drop_probability,
        relative_error=told.relative_error,
        budget=told.budget_hours,
        seed=campaign.seed,
    )
