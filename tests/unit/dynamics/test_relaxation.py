"""Relaxation: the batched FIRE against ASE's, the cell policies, and what is flagged."""

import numpy as np
import pytest
from ase.build import bulk

from ionsieve.dynamics import RelaxSettings, checkpoint, relax, relax_many, relax_resumable, relaxation
from ionsieve.dynamics.toys import FreeParticles, HarmonicLattice, lattice
from ionsieve.errors import DataError, GeometryError
from ionsieve.potentials.pair import PairPotential
from ionsieve.verdicts import Flag, Outcome

IONIC = PairPotential("pair-ionic")
TIGHT = RelaxSettings(fmax_eV_per_A=0.003, max_stress_GPa=0.01, max_volume_change_percent=60)


def salt(seed, strain=0.02, a=6.0):
    atoms = bulk("NaCl", "rocksalt", a=a, cubic=True)
    atoms.rattle(0.1, seed=seed)
    shape = np.eye(3) + strain * np.random.default_rng(seed).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ shape, scale_atoms=True)
    return atoms


@pytest.mark.parametrize("policy", ["relaxed", "published"])
def test_batched_fire_finds_the_minimum_that_ase_finds(policy):
    settings = TIGHT.model_copy(update={"cell_policy": policy})
    atoms = salt(0)
    ours = relax(atoms, IONIC, settings)
    theirs = relax(atoms, IONIC, settings.model_copy(update={"engine": "ase"}))
    assert ours.outcome is theirs.outcome is Outcome.COMPLETED
    assert Flag.NOT_CONVERGED not in ours.flags
    assert ours.energy_eV == pytest.approx(theirs.energy_eV, abs=2e-4)
    assert ours.energy_eV < ours.energy_start_eV
    assert ours.max_force_eV_per_A <= settings.fmax_eV_per_A
    if policy == "published":
        np.testing.assert_array_equal(ours.atoms.cell.array, atoms.cell.array)
        assert ours.max_stress_GPa is None
    else:
        assert ours.max_stress_GPa <= settings.max_stress_GPa
        np.testing.assert_allclose(ours.atoms.cell.lengths(), theirs.atoms.cell.lengths(), rtol=2e-3)
        np.testing.assert_allclose(ours.atoms.cell.angles(), theirs.atoms.cell.angles(), atol=0.5)


def test_a_batch_relaxes_as_its_members_do_alone():
    systems = [salt(1), salt(2), salt(3, strain=0.0)]
    together = relax_many(systems, IONIC, TIGHT)
    for atoms, one in zip(systems, together, strict=True):
        alone = relax(atoms, IONIC, TIGHT)
        assert alone.steps == one.steps
        np.testing.assert_allclose(one.atoms.positions, alone.atoms.positions, atol=1e-9)
    small = relax_many(systems, IONIC, TIGHT.model_copy(update={"batch_atoms": 8}))
    assert [r.steps for r in small] == [r.steps for r in together]


def test_keep_symmetry_scales_isotropically():
    r = relax(salt(0, strain=0.0), IONIC, TIGHT.model_copy(update={"keep_symmetry": True}))
    lengths, angles = r.atoms.cell.lengths(), r.atoms.cell.angles()
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-12)
    np.testing.assert_allclose(angles, 90.0, atol=1e-9)
    assert abs(r.volume_change_percent) > 0.5


def test_flags_and_outcomes():
    few = relax(salt(0), IONIC, TIGHT.model_copy(update={"max_steps": 2}))
    assert few.flags[0] is Flag.NOT_CONVERGED
    assert few.steps == 2
    assert few.outcome is Outcome.COMPLETED
    large = relax(salt(0, a=5.4), IONIC, TIGHT)
    assert Flag.LARGE_VOLUME in large.flags
    collapsed = relax(salt(0, a=5.0), IONIC, TIGHT.model_copy(update={"max_volume_change_percent": 6}))
    assert collapsed.outcome is Outcome.COLLAPSED
    assert "%" in collapsed.reason


def test_what_is_not_finite_is_not_relaxed():
    class Broken(HarmonicLattice):
        def evaluate(self, batch, *, stress=False):
            answer = super().evaluate(batch, stress=stress)
            answer.forces[0] = float("nan")
            return answer

    atoms = lattice(2)
    atoms.rattle(0.1, seed=0)
    r = relax(atoms, Broken(2), RelaxSettings(cell_policy="published"))
    assert r.outcome is Outcome.NOT_RELAXED
    assert r.max_force_eV_per_A is None


@pytest.mark.parametrize("engine", ["batch", "ase"])
@pytest.mark.parametrize(("calls", "outcome"), [(0, Outcome.BAD_GEOMETRY), (4, Outcome.NOT_RELAXED)])
def test_a_refused_geometry_ends_its_own_relaxation_alone(tmp_path, engine, calls, outcome):
    class Choosy(PairPotential):
        left = calls

        def evaluate(self, batch, *, stress=False):
            if (batch.numbers == 3).any():
                self.left -= 1
                if self.left < 0:
                    raise GeometryError("an atom has no neighbours")
            return super().evaluate(batch, stress=stress)

    bad = salt(1)
    bad.numbers[:4] = 3
    settings = TIGHT.model_copy(update={"engine": engine})
    first, second = relax_many([salt(0), bad], Choosy("pair-ionic"), settings)
    assert first.outcome is Outcome.COMPLETED
    assert np.array_equal(first.atoms.positions, relax(salt(0), IONIC, settings).atoms.positions)
    potential = Choosy("pair-ionic")
    kept = relax_resumable(bad, potential, settings, tmp_path / "r.npz")
    assert kept.outcome is outcome
    assert "no neighbours" in kept.reason
    assert (kept.steps > 0) == (calls > 0)
    assert second.outcome in (Outcome.BAD_GEOMETRY, outcome)


def test_at_the_minimum_nothing_moves():
    r = relax(lattice(2), FreeParticles(), RelaxSettings())
    assert (r.steps, r.volume_change_percent, r.flags) == (0, 0.0, ())


# ---------------------------------------------------------------- interrupted and gone on with


class Killed(BaseException):
    """The process died."""


class Mortal(PairPotential):
    """Dies at a call."""

    def __init__(self, dies_at):
        super().__init__("pair-ionic")
        self.left = dies_at

    def evaluate(self, batch, *, stress=False):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().evaluate(batch, stress=stress)


def same(a, b):
    return (
        np.array_equal(a.atoms.positions, b.atoms.positions)
        and np.array_equal(a.atoms.cell.array, b.atoms.cell.array)
        and [getattr(a, n) for n in NUMBERS] == [getattr(b, n) for n in NUMBERS]
    )


NUMBERS = ("energy_eV", "energy_start_eV", "max_force_eV_per_A", "max_stress_GPa", "steps", "outcome", "flags")


@pytest.mark.parametrize("policy", ["relaxed", "published"])
def test_interrupted_after_every_step_it_ends_bit_by_bit_where_it_would_have(tmp_path, policy):
    settings = TIGHT.model_copy(update={"cell_policy": policy})
    whole, path, calls = relax(salt(1), IONIC, settings), tmp_path / "r.npz", 1
    while (end := relax_resumable(salt(1), IONIC, settings, path, stop=lambda: True)) is None:
        calls += 1
    assert calls == whole.steps + 1 > 20
    assert same(whole, end)
    assert end.seconds_before > 0.0
    assert same(whole, relax_resumable(salt(1), IONIC, settings, tmp_path / "none.npz"))
    assert not (tmp_path / "none.npz").exists()


def test_a_deadline_pauses_and_a_kill_costs_what_was_not_saved(tmp_path, monkeypatch):
    path = tmp_path / "r.npz"
    assert relax_resumable(salt(2), IONIC, TIGHT, path, deadline_s=0.0) is None
    monkeypatch.setattr(relaxation, "SAVE_S", 0.0)
    with pytest.raises(Killed):
        relax_resumable(salt(2), Mortal(7), TIGHT, path)
    assert checkpoint.read_head(path)["step"] == 8  # one before the deadline, seven before the kill
    assert same(relax(salt(2), IONIC, TIGHT), relax_resumable(salt(2), IONIC, TIGHT, path))


def test_another_relaxation_is_not_gone_on_with(tmp_path):
    path = tmp_path / "r.npz"
    relax_resumable(salt(1), IONIC, TIGHT, path, stop=lambda: True)
    with pytest.raises(DataError, match="structure_sha256"):
        relax_resumable(salt(2), IONIC, TIGHT, path)
    with pytest.raises(DataError, match="settings"):
        relax_resumable(salt(1), IONIC, RelaxSettings(), path)
