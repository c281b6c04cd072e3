"""A committee's disagreement: a column with every frame, numbers in the summary, and a guard."""

import numpy as np
import pytest

from ionsieve.dynamics import DynamicsSettings, GuardSettings, Job, simulate
from ionsieve.dynamics.toys import HarmonicLattice, lattice
from ionsieve.potentials.committee import CommitteePotential
from ionsieve.trajectory import read
from ionsieve.verdicts import Outcome

#: two opinions about the stiffness of one crystal: forces are -2 K u and -3 K u, so they differ by a third of the mean
SOFT, HARD = HarmonicLattice(2, 3.0, 2.0), HarmonicLattice(2, 3.0, 3.0)
COMMITTEE = CommitteePotential([SOFT, HARD])
SHORT = {"equilibrate_ps": 0.1, "produce_ps": 0.4, "guard_steps": 20}


def job(folder, name="r", temperature=600.0):
    return Job(name, lattice(2), temperature, (1, name), folder / name)


@pytest.mark.parametrize("engine", ["batch", "ase"])
def test_the_disagreement_is_a_column_and_reaches_the_summary(tmp_path, engine):
    (p,) = simulate([job(tmp_path)], COMMITTEE, DynamicsSettings(**SHORT, engine=engine))
    t = read(p.trajectory)
    column = t.scalars["force_disagreement"]
    assert len(column) == len(t) == 21
    for x, cell, found in zip(t.positions, t.cells, column, strict=True):
        forces = []
        for member in (SOFT, HARD):
            atoms = lattice(2)
            atoms.positions, atoms.cell[:] = x, cell
            atoms.calc = member.as_ase()
            forces.append(atoms.get_forces())
        spread = np.std(forces, axis=0, ddof=1)
        assert found == pytest.approx(np.sqrt((spread**2).sum(axis=1).mean()), rel=1e-4)  # positions are float32
    assert p.summary.force_disagreement_eV_per_A == pytest.approx(column.mean())
    assert p.summary.max_force_disagreement_eV_per_A > column[10::10].max() > 0  # of an atom against of all


def test_one_model_has_no_such_column(tmp_path):
    (p,) = simulate([job(tmp_path)], SOFT, DynamicsSettings(**SHORT))
    assert "force_disagreement" not in read(p.trajectory).scalars
    assert p.summary.force_disagreement_eV_per_A is None
    assert p.summary.max_force_disagreement_eV_per_A is None


def test_a_system_beyond_the_committee_leaves_and_the_others_do_not_notice(tmp_path):
    def bounded(largest):
        guards = GuardSettings(max_force_disagreement_eV_per_A=largest)
        return DynamicsSettings(**SHORT, guards=guards)

    def jobs(tag):
        return [job(tmp_path / tag, n, T) for n, T in (("cold", 200.0), ("hot", 2000.0))]

    free = simulate(jobs("free"), COMMITTEE, bounded(9.0))
    cold, hot = (p.summary.max_force_disagreement_eV_per_A for p in free)
    assert cold < hot
    settings = bounded(0.5 * (cold + hot))
    kept, gone = simulate(jobs("both"), COMMITTEE, settings)
    assert (kept.state, kept.outcome) == ("done", Outcome.COMPLETED)
    assert (gone.state, gone.outcome) == ("failed", Outcome.EXPLODED)
    assert "committee's forces on an atom disagree by" in gone.reason
    assert kept.trajectory.read_bytes() == free[0].trajectory.read_bytes()


@pytest.mark.parametrize("equilibrate_ps", [0.0, 0.1])
def test_the_column_survives_interruptions(tmp_path, equilibrate_ps):
    settings = DynamicsSettings(**{**SHORT, "equilibrate_ps": equilibrate_ps})
    (whole,) = simulate([job(tmp_path / "whole")], COMMITTEE, settings)
    asked = iter(range(10**6))
    parts = [job(tmp_path / "parts")]
    while simulate(parts, COMMITTEE, settings, stop=lambda: next(asked) % 2 == 1)[0].state == "unfinished":
        pass
    (p,) = simulate(parts, COMMITTEE, settings)
    assert p.trajectory.read_bytes() == whole.trajectory.read_bytes()
    assert p.summary.max_force_disagreement_eV_per_A == whole.summary.max_force_disagreement_eV_per_A
