"""Stops, kills, lacks of memory, refills and exploding mates at random: every run ends as it would have alone."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from ionsieve.dynamics import DynamicsSettings, Job, checkpoint, simulate
from ionsieve.dynamics.engines import batch as batch_engine
from ionsieve.dynamics.packing import Capacity
from ionsieve.dynamics.toys import HarmonicLattice, lattice


class Killed(BaseException):
    """The process died."""


class Rough(HarmonicLattice):
    """Lithium crystals explode when an atom has moved far; memory runs out at random."""

    def __init__(self, dice, lack):
        super().__init__(2, 3.0, 2.0, 40.0)
        self.dice, self.lack = dice, lack

    def evaluate(self, batch, *, stress=False):
        if batch.n_systems > 1 and self.dice.random() < self.lack:
            raise torch.OutOfMemoryError("CUDA out of memory")
        answer = super().evaluate(batch, stress=stress)
        sites = torch.from_numpy(lattice(2).positions).repeat(batch.n_systems, 1)
        far = (batch.positions - sites).abs().amax(dim=1) > 0.45
        forces = torch.where((far & (batch.numbers == 3))[:, None], torch.nan, answer.forces)
        return dataclasses.replace(answer, forces=forces)


def rule(running):
    return 1 / np.sqrt(running.frames * running.per_ion_A2.shape[1])


def jobs(folder, seed):
    dice = random.Random(seed)
    made = []
    for i in range(dice.randint(2, 5)):
        lengths = {"npt_ps": dice.choice([0.0, 0.0, 0.05]), "equilibrate_ps": dice.choice([0.0, 0.06, 0.1])}
        atoms = lattice(2, symbol=dice.choice(["Na", "Na", "Li"]))
        made.append(
            Job(
                f"r{i}",
                atoms,
                300.0 + 100 * i,
                (seed, i),
                folder / f"r{i}",
                mobile=("Na",),
                produce_ps=dice.choice([0.1, 0.2, 0.3]),
                **lengths,
            )
        )
    return made


def settings(dice):
    return DynamicsSettings(
        integrator=dice.choice(["csvr", "nose_hoover", "baoab", "nve"]),
        barostat=dice.choice(["crescale", "crescale_anisotropic"]),
        tau_fs=40,
        guard_steps=dice.choice([7, 10, 20]),
        slice_steps=dice.choice([20, 60]),
        frame_interval_fs=dice.choice([4.0, 20.0]),
        sample_interval_fs=dice.choice([None, 2.0, 8.0]),
        stop_relative_error=dice.choice([None, 0.05, 0.1]),
        stop_after_ps=0.05,
        pressure_GPa=0.5,
        barostat_tau_fs=200.0,
    )


def ended(progress):
    return [(p.state, p.outcome, p.reason, p.steps_done) for p in progress]


def files(folder, seed):
    paths = [job.trajectory_path for job in jobs(folder, seed)]
    return [path.read_bytes() if path.exists() else b"" for path in paths]


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(s, marks=pytest.mark.slow) for s in range(3, 40))])
def test_whatever_happens_every_run_ends_as_it_would_have_alone(tmp_path, monkeypatch, seed):
    torch.set_num_threads(1)
    dice = random.Random(seed)
    asked = settings(dice)
    calm = [simulate([job], Rough(dice, 0.0), asked, rule=rule)[0] for job in jobs(tmp_path / "calm", seed)]
    deadly, save = [0.0], checkpoint.save

    def dangerous(path, what):
        if dice.random() < deadly[0]:
            if dice.random() < 0.5:
                save(path, what)
            raise Killed
        save(path, what)

    monkeypatch.setattr(checkpoint, "save", dangerous)
    for _ in range(400):
        deadly[0], stops = dice.choice([0.0, 0.0, 0.1]), dice.choice([0.0, 0.05, 0.3])
        monkeypatch.setattr(batch_engine, "PATIENCE_S", dice.choice([0.0, 5.0]))
        potential = Rough(dice, dice.choice([0.0, 0.01, 0.05]))
        try:
            rough = simulate(
                jobs(tmp_path / "rough", seed),
                potential,
                asked,
                rule=rule,
                stop=lambda likely=stops: dice.random() < likely,
                capacity=Capacity(8 * dice.randint(1, 6)),
            )
        except Killed:
            continue
        if all(p.state != "unfinished" for p in rough):
            break
    assert ended(rough) == ended(calm)
    assert files(tmp_path / "rough", seed) == files(tmp_path / "calm", seed)
