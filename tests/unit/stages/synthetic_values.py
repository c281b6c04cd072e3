"""Numbers that the short golden chain cannot reach: values, not limits, in measure, fit and rank.

A walk of known D is measured; measurements of two candidates at four temperatures, one with two orderings and one
upper limit, are stored and go through the stages fit and rank.
"""

import math

import numpy as np

from ionsieve.campaign import parse_campaign
from ionsieve.records import Candidate, CandidateEstimate, GeneratedCandidate, Measurement, Ranking
from ionsieve.records.estimate import Estimate
from ionsieve.stages import fit, rank
from ionsieve.store import Request, Store
from ionsieve.transport import measure
from ionsieve.transport.intervals import log_normal_estimate
from ionsieve.transport.synthetic import lattice_walk
from ionsieve.units import BOLTZMANN_EV_PER_K, nernst_einstein_S_per_cm
from ionsieve.verdicts import Verdict

CAMPAIGN = """
name: values
generate: {recipes: [{prototype: Na3OCl_Pm-3m}]}
potential: {name: pair-ionic, dtype: float64}
ranking: {top_k: 1, samples: 2000}
"""
TEMPERATURES_K = (600.0, 700.0, 850.0, 1050.0)
N, VOLUME_A3 = 24, 1200.0


def walked():
    """What measure says of a seeded walk of 400 jumps."""
    walk = lattice_walk(ions=24, frames=1500, jumps=400, rattle_A=0.25, seed=7)
    result = measure(
        walk.positions_A, walk.cell_A, np.arange(1500) * 0.1, ["Na"] * 24, mobile="Na", charge=1, temperature_K=800.0
    )
    assert result.tracer_diffusivity.kind is Verdict.VALUE
    return [
        x
        for e in (result.tracer_diffusivity, result.conductivity, result.charge_diffusivity, result.inverse_haven_ratio)
        for x in (e.kind.value, e.value, e.low68, e.high68, e.low95, e.high95)
    ]


def measurement(name, ordering, T, ln_D, error, *, limit=False):
    factor = math.log(nernst_einstein_S_per_cm(1.0, count=N, charge=1, volume_A3=VOLUME_A3, temperature_K=T))

    def estimate(quantity, ln_value):
        if limit:
            return Estimate(
                quantity=quantity, kind=Verdict.UPPER_LIMIT, value=math.exp(ln_value), method="poisson-95", n_eff=2.0
            )
        return log_normal_estimate(quantity, ln_value, error, method="synthetic", n_eff=80.0)

    return Measurement(
        run_id=f"{name}--c{ordering}--{T:g}K-r0",
        configuration_id=f"{name}--c{ordering}",
        candidate_id=name,
        temperature_K=T,
        mobile_ion="Na",
        mobile_charge=1,
        n_mobile=N,
        volume_A3=VOLUME_A3,
        length_ps=100.0,
        tracer_diffusivity=estimate("tracer_diffusivity", ln_D),
        conductivity=estimate("conductivity", ln_D + factor),
        charge_diffusivity=Estimate.refused("charge_diffusivity", "synthetic"),
        charge_conductivity=Estimate.refused("charge_conductivity", "synthetic"),
        inverse_haven_ratio=Estimate.refused("inverse_haven_ratio", "synthetic"),
        n_eff=2.0 if limit else 80.0,
    )


def measurements():
    """Return, by candidate, measurements that scatter about ln D = ln D0 - Ea/kT."""
    rng = np.random.default_rng(20)
    made = {}
    for name, ln_D0, Ea, orderings in (("firm", -7.2, 0.28, 2), ("other", -7.5, 0.31, 1)):
        made[name] = []
        for ordering in range(orderings):
            for T in TEMPERATURES_K:
                error = 0.12 + 0.05 * (T < 700.0)
                ln_D = ln_D0 - Ea / (BOLTZMANN_EV_PER_K * T) - 0.25 * ordering + error * rng.standard_normal()
                rare = ordering == 1 and min(TEMPERATURES_K) == T
                made[name].append(measurement(name, ordering, T, ln_D + 0.3 * rare, error, limit=rare))
    return made


def fitted_and_ranked(folder):
    """Return the estimates and the ranking that the stages make of the stored measurements."""
    campaign = parse_campaign(CAMPAIGN)
    store = Store.create(folder, campaign.model_dump(mode="json"))
    keys = {"generate": [], "measure": [], "fit": []}
    for name, records in measurements().items():
        candidate = Candidate(
            candidate_id=name, prototype="x", family="y", mobile_ion="Na", mobile_charge=1, target_formula="Na3OCl"
        )
        made = GeneratedCandidate(candidate=candidate, configurations=())
        keys["generate"].append(store.put(Request("generate", 1, parameters={"n": name}), made))
        mine = [store.put(Request("measure", 1, parameters={"n": r.run_id}), r) for r in records]
        question = fit.request(mine, campaign)
        keys["measure"] += mine
        keys["fit"].append(store.put(question, fit.run(question, store)))
    estimates = [store.get(key, CandidateEstimate) for key in keys["fit"]]
    ranking = rank.run(rank.request(campaign, **keys), store)
    assert isinstance(ranking, Ranking)
    return estimates, ranking


def numbers(folder):
    """Return numbers by stage, as `test_chain.numbers`."""
    estimates, ranking = fitted_and_ranked(folder)
    assert {e.conductivity.kind for e in estimates} <= {Verdict.VALUE, Verdict.INDICATIVE}
    assert {row.section for row in ranking.rows} == {"ranked"}
    return {
        "measure": walked(),
        "fit": [
            x
            for e in estimates
            for x in (
                e.conductivity.kind.value,
                *(e.conductivity.value, e.conductivity.low68, e.conductivity.high68),
                *(e.conductivity.low95, e.conductivity.high95),
                *(e.activation_energy.value, e.activation_energy.low95, e.activation_energy.high95),
                *(e.ln_sigma_mean, e.ln_sigma_std, e.tracer_diffusivity.value),
            )
        ],
        "rank": [
            x
            for row in ranking.rows
            for x in (
                row.candidate_id,
                row.section,
                row.conductivity.value,
                row.probability_top_k,
                row.expected_rank.value,
                row.score,
            )
        ],
    }
