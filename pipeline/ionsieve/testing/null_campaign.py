"""A campaign whose physics costs nothing: real records, real files, real checkpoints, made-up numbers.

It exercises the store, the funnel and the driver in tests, in the fault drill and in the scale benchmark. A run "moves"
a counter in slices of its checkpoint file and writes a trajectory file at its end; every step appends one line to a
journal beside the checkpoint, so that a test can count what was done twice.

Candidate ``n`` of a campaign has a true ln sigma and activation energy drawn from the stream (seed, n); a measured
point scatters about the truth with a standard deviation that falls as more jumps are seen.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ionsieve.dynamics import stopping
from ionsieve.records import (
    Candidate,
    CandidateEstimate,
    Configuration,
    CrystalStructure,
    Estimate,
    GeneratedCandidate,
    Measurement,
    PotentialIdentity,
    RankedCandidate,
    Ranking,
    Record,
    RelaxedConfiguration,
    Run,
    RunRecord,
    RunSummary,
    StaticDescriptors,
)
from ionsieve.rng import generator
from ionsieve.screening.plan import SetAside, Subject
from ionsieve.store import Request, Store
from ionsieve.verdicts import Outcome, Verdict

__all__ = ["STAGES", "NullBuilders", "null_campaign", "null_subjects"]

K_B = 8.617333262e-5
_POTENTIAL = PotentialIdentity(name="null", sha256="0" * 64)
_CELL = CrystalStructure(
    lattice_A=((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)), symbols=("Na",), positions_A=((0.0, 0.0, 0.0),)
)


def null_campaign(
    n: int,
    *,
    seed: int = 0,
    temperatures_K: Sequence[float] = (800.0, 1000.0, 1200.0, 1400.0),
    replicas: int = 1,
    configurations: int = 1,
    steps: int = 4,
    step_s: float = 0.0,
    poison: str = "",
) -> dict[str, Any]:
    """Return the campaign's JSON: `n` candidates, `steps` counted steps a run of `step_s` seconds each."""
    return {
        "name": "null",
        "seed": seed,
        "n": n,
        "temperatures_K": list(temperatures_K),
        "replicas": replicas,
        "configurations": configurations,
        "steps": steps,
        "step_s": step_s,
        "poison": poison,
    }


def null_subjects(campaign: Mapping[str, Any]) -> list[Subject]:
    """Return its candidates."""
    temperatures = tuple(campaign["temperatures_K"])
    return [Subject(f"c{i:06d}", i, temperatures, campaign["replicas"]) for i in range(campaign["n"])]


class NullBuilders:
    """Words the null campaign's questions."""

    def __init__(self, campaign: Mapping[str, Any]) -> None:
        self.seed = campaign["seed"]
        self._generate = {"configurations": campaign["configurations"]}
        self._simulate = {k: campaign[k] for k in ("steps", "step_s", "poison")}
        self._none: dict[str, Any] = {}

    def generate(self, subject: Subject) -> Request:
        """One candidate."""
        parameters = {"name": subject.name, "number": subject.record, "seed": self.seed}
        return Request("generate", 1, {}, parameters, self._generate)

    def sieve(self, generate: str, index: int) -> Request:
        """One configuration's channels: every tenth candidate is closed."""
        return Request("sieve", 1, {"generate": generate}, {"index": index}, self._none)

    def relax(self, generate: str, index: int) -> Request:
        """One configuration."""
        return Request("relax", 1, {"generate": generate}, {"index": index}, self._none)

    def simulate(
        self, subject: Subject, relax: str, generate: str, index: int, temperature_K: float, replica: int
    ) -> Request:
        """One run."""
        parameters = {"index": index, "temperature_K": temperature_K, "seed": self.seed, "replica": replica}
        return Request("simulate", 1, {"relax": relax, "generate": generate}, parameters, self._simulate)

    def measure(self, simulate: str, generate: str, index: int) -> Request:
        """One run's transport."""
        return Request("measure", 1, {"simulate": simulate, "generate": generate}, {"index": index}, self._none)

    def fit(self, measure: Sequence[str]) -> Request:
        """One candidate's estimate."""
        return Request("fit", 1, {"measure": sorted(measure)}, {}, self._none)

    def rank(self, keys: Mapping[str, Sequence[str]], aside: Sequence[SetAside] = ()) -> Request:
        """The table."""
        named = {k: sorted(v) for k, v in keys.items() if k in ("generate", "simulate", "fit")}
        lost = {"lost": [[a.subject.name, a.why] for a in aside]} if aside else {}
        return Request("rank", 1, named, lost, self._none)


def _generate(request: Request, store: Store, deadline_s: float | None) -> Record:
    name, number, seed = (request.parameters[k] for k in ("name", "number", "seed"))
    draw = generator(seed, "null", number)
    sigma, barrier = float(draw.normal(-6.0, 3.0)), float(np.clip(draw.normal(0.3, 0.08), 0.1, 0.6))
    outcome = Outcome.NOT_NEUTRAL if number % 29 == 28 else Outcome.COMPLETED
    candidate = Candidate(
        candidate_id=name,
        prototype="null",
        family="null",
        mobile_ion="Na",
        mobile_charge=1,
        target_formula="Na",
        n_atoms=1,
        outcome=outcome,
        reason="the null campaign refuses every 29th" if outcome is not Outcome.COMPLETED else "",
        provenance={"ln_sigma": sigma, "barrier_eV": barrier, "number": number},
    )
    count = request.settings["configurations"] if outcome is Outcome.COMPLETED else 0
    configurations = tuple(
        Configuration(
            configuration_id=f"{name}--c{i}", candidate_id=name, index=i, structure=_CELL, method="null", seed=seed
        )
        for i in range(count)
    )
    return GeneratedCandidate(candidate=candidate, configurations=configurations)


def _sieve(request: Request, store: Store, deadline_s: float | None) -> Record:
    generated = store.need(str(request.inputs["generate"]), GeneratedCandidate)
    closed = generated.candidate.provenance["number"] % 10 == 9
    return StaticDescriptors(
        configuration_id=generated.configurations[request.parameters["index"]].configuration_id,
        mobile_ion="Na",
        outcome=Outcome.SIEVED if closed else Outcome.COMPLETED,
        reason="the null campaign closes every tenth" if closed else "",
    )


def _relax(request: Request, store: Store, deadline_s: float | None) -> Record:
    generated = store.need(str(request.inputs["generate"]), GeneratedCandidate)
    return RelaxedConfiguration(
        configuration_id=generated.configurations[request.parameters["index"]].configuration_id,
        candidate_id=generated.candidate.candidate_id,
        structure=_CELL,
        potential=_POTENTIAL,
        cell_policy="null",
    )


def _simulate(request: Request, store: Store, deadline_s: float | None) -> Record | None:
    generated = store.need(str(request.inputs["generate"]), GeneratedCandidate)
    told, settings = request.parameters, request.settings
    name = generated.candidate.candidate_id
    work = store.workdir(request.key)
    checkpoint = work / "checkpoint.json"
    state: dict[str, Any] = {"step": 0, "sum": request.key}
    if checkpoint.exists():
        found = json.loads(checkpoint.read_text())
        if hashlib.sha256(f"{found['step']}{found['sum']}".encode()).hexdigest() == found["digest"]:
            state = found
    until = math.inf if deadline_s is None else time.monotonic() + deadline_s
    while state["step"] < settings["steps"]:
        if settings["poison"] == name:
            os._exit(9)
        if settings["step_s"]:
            time.sleep(settings["step_s"])
        step = state["step"] + 1
        total = hashlib.sha256(f"{state['sum']}{step}".encode()).hexdigest()
        state = {"step": step, "sum": total, "digest": hashlib.sha256(f"{step}{total}".encode()).hexdigest()}
        part = work / f"checkpoint.{os.getpid()}"
        part.write_text(json.dumps(state))
        _journal(store, request.key, step)  # first: a kill between the two repeats a step, and is counted
        part.replace(checkpoint)
        if (time.monotonic() > until or stopping.asked()) and step < settings["steps"]:
            return None
    (work / "trajectory.bin").write_text(state["sum"])
    melted = generated.candidate.provenance["number"] % 17 == 16 and told["temperature_K"] > 1300
    return RunRecord(
        run=Run(
            run_id=f"{generated.configurations[told['index']].configuration_id}"
            f"--{told['temperature_K']:g}K-r{told['replica']}",
            configuration_id=generated.configurations[told["index"]].configuration_id,
            candidate_id=name,
            temperature_K=told["temperature_K"],
            seed=told["seed"],
            replica=told["replica"],
        ),
        potential=_POTENTIAL,
        engine="null",
        integrator="null",
        trajectory=store.reference(work / "trajectory.bin"),
        summary=RunSummary(
            n_atoms=1, steps=settings["steps"], dt_fs=1.0, length_ps=settings["steps"] * 1e-3, frame_interval_fs=1.0
        ),
        outcome=Outcome.MELTED if melted else Outcome.COMPLETED,
        reason="the null campaign melts every 17th above 1300 K" if melted else "",
    )


def _journal(store: Store, key: str, step: int) -> None:
    folder = store.folder / "journal"
    if folder.is_dir():  # made by the tests that count
        with (folder / key).open("a") as stream:
            stream.write(f"{step}\n")


def _measure(request: Request, store: Store, deadline_s: float | None) -> Record:
    record = store.need(str(request.inputs["simulate"]), RunRecord)
    generated = store.need(str(request.inputs["generate"]), GeneratedCandidate)
    assert record.trajectory is not None
    assert record.summary is not None
    content = store.file(record.trajectory).read_text()
    truth = generated.candidate.provenance
    temperature = record.run.temperature_K
    ln_d = truth["ln_sigma"] + truth["barrier_eV"] / K_B * (1 / 300.0 - 1 / temperature)
    error = 0.15 + 0.5 * math.exp(-0.25 * (ln_d + 4.0)) if ln_d > -8 else 2.0
    noise = generator(content, "measure").normal()
    value = math.exp(ln_d + error * noise)
    melted = record.outcome is Outcome.MELTED

    def told(quantity: str) -> Estimate:
        return Estimate.refused(quantity, record.reason) if melted else _lognormal(quantity, value, error)

    return Measurement(
        run_id=record.run.run_id,
        configuration_id=record.run.configuration_id,
        candidate_id=record.run.candidate_id,
        temperature_K=temperature,
        mobile_ion="Na",
        mobile_charge=1,
        n_mobile=1,
        volume_A3=64.0,
        length_ps=record.summary.length_ps,
        tracer_diffusivity=told("tracer_diffusivity"),
        charge_diffusivity=told("charge_diffusivity"),
        conductivity=told("conductivity"),
        charge_conductivity=told("charge_conductivity"),
        inverse_haven_ratio=Estimate.refused("inverse_haven_ratio", "null"),
        outcome=record.outcome,
        reason=record.reason,
    )


def _lognormal(quantity: str, value: float, error: float) -> Estimate:
    low95, low68, high68, high95 = (value * math.exp(z * error) for z in (-1.96, -1.0, 1.0, 1.96))
    return Estimate(
        quantity=quantity, kind=Verdict.VALUE, value=value, low68=low68, high68=high68, low95=low95, high95=high95
    )


def _fit(request: Request, store: Store, deadline_s: float | None) -> Record:
    keys = request.inputs["measure"]
    measured = [store.need(k, Measurement) for k in ([keys] if isinstance(keys, str) else keys)]
    measured.sort(key=lambda m: m.run_id)
    good = [m for m in measured if m.conductivity.is_value]
    y = np.array([math.log(m.conductivity.value or 1e-30) for m in good])
    s = np.array([math.log((m.conductivity.high68 or 1.0) / (m.conductivity.value or 1.0)) for m in good])
    x = np.array([1 / K_B * (1 / 300.0 - 1 / m.temperature_K) for m in good])
    # Bayesian line with a prior on the barrier, 0.3 +- 0.1 eV: the shape of the transport room's posterior
    design = np.stack([np.ones_like(x), x], axis=1) / s[:, None]
    precision = design.T @ design + np.diag([1e-8, 1 / 0.1**2])
    mean = np.linalg.solve(precision, design.T @ (y / s) + np.array([0.0, 0.3 / 0.1**2]))
    std = math.sqrt(np.linalg.inv(precision)[0, 0])
    sigma = (
        _lognormal("conductivity", math.exp(float(mean[0])), std)
        if good
        else Estimate.refused("conductivity", measured[0].reason)
    )
    return CandidateEstimate(
        candidate_id=measured[0].candidate_id,
        mobile_ion="Na",
        n_configurations=len({m.configuration_id for m in measured}),
        n_runs=len(measured),
        target_temperature_K=300.0,
        activation_energy=Estimate.refused("activation_energy", "null"),
        conductivity=sigma,
        tracer_diffusivity=Estimate.refused("tracer_diffusivity", "null"),
        ln_sigma_mean=float(mean[0]) if good else None,
        ln_sigma_std=std if good else None,
        outcome=Outcome.COMPLETED if good else measured[0].outcome,
    )


def _rank(request: Request, store: Store, deadline_s: float | None) -> Record:
    fits = [store.need(k, CandidateEstimate) for k in request.inputs["fit"]]
    fits.sort(key=lambda f: (-(f.ln_sigma_mean or 0.0), f.candidate_id))
    rows = tuple(
        RankedCandidate(
            candidate_id=f.candidate_id,
            formula="Na",
            family="null",
            mobile_ion="Na",
            section="ranked",
            rank=i + 1,
            conductivity=f.conductivity,
            activation_energy=f.activation_energy,
            verdict=Verdict.VALUE,
        )
        for i, f in enumerate(fits)
    )
    return Ranking(campaign="null", target_temperature_K=300.0, top_k=5, targets_S_per_cm=(1e-3,), rows=rows)


STAGES: dict[str, Any] = {
    name: SimpleNamespace(name=name, physics=1, run=run, uses_device=name == "simulate", run_many=None)
    for name, run in (
        ("generate", _generate),
        ("sieve", _sieve),
        ("relax", _relax),
        ("simulate", _simulate),
        ("measure", _measure),
        ("fit", _fit),
        ("rank", _rank),
    )
}
