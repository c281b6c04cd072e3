"""The gate before production, the memory model with a fake device, and committees."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ionsieve.errors import DataError, InputError, SetupError
from ionsieve.potentials import PotentialSettings, check_parity, load, load_checked, registry
from ionsieve.potentials.base import Evaluation
from ionsieve.potentials.committee import CommitteePotential
from ionsieve.potentials.memory import (
    MemoryBook,
    MemoryModel,
    RssMeter,
    Sample,
    calibrate,
    count_edges,
    fit,
    is_out_of_memory,
    memory_book,
)
from ionsieve.potentials.pair import PairPotential
from ionsieve.potentials.settings import PairSettings
from ionsieve.systems import Batch
from ionsieve.testing.tiny_mace import write_tiny_mace
from ionsieve.verdicts import Flag


@pytest.fixture
def salt() -> Atoms:
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    atoms.positions += np.random.default_rng(0).normal(0, 0.05, atoms.positions.shape)
    return atoms


class Faulty(PairPotential):
    """The ionic model with a fault in its fast path, of the kinds seen in the wild."""

    def __init__(self, fault: str) -> None:
        super().__init__("pair-ionic")
        self.fault = fault

    def evaluate(self, batch: Batch, *, stress: bool = False) -> Evaluation:
        result = super().evaluate(batch, stress=stress)
        if self.fault == "nan in a later element of the batch":
            result.forces[-1] = float("nan")
        elif self.fault == "force off":
            result.forces[3, 1] += 1e-3
        elif self.fault == "stress off" and result.stresses is not None:
            return replace(result, stresses=result.stresses + 1e-3)
        elif self.fault == "stress nan" and result.stresses is not None:
            return replace(result, stresses=result.stresses * float("nan"))
        elif self.fault == "energy off":
            return replace(result, energies=result.energies + 0.1)
        return result


def test_a_good_path_passes_the_gate(salt: Atoms) -> None:
    report = check_parity(PairPotential("pair-ionic"), salt, seed=3)
    assert report.passed
    assert report.reason == ""
    assert len(report.frames) == 3
    assert report.frames[0].force_eV_per_A < 1e-10
    assert report.frames[1].largest_force_eV_per_A != report.frames[2].largest_force_eV_per_A


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan in a later element of the batch", "rattled copy 2 are not finite"),
        ("force off", "forces of the first frame differ by 0.001"),
        ("energy off", "energy of the first frame"),
    ],
)
def test_a_faulty_path_is_stopped_with_its_reason(salt: Atoms, fault: str, reason: str) -> None:
    report = check_parity(Faulty(fault), salt, seed=3)
    assert not report.passed
    assert reason in report.reason


@pytest.mark.parametrize(("fault", "words"), [("stress off", "0.16 GPa"), ("stress nan", "nan GPa")])
def test_a_stress_is_compared_where_a_cell_follows_it(salt: Atoms, fault: str, words: str) -> None:
    assert check_parity(Faulty(fault), salt, seed=3).passed
    report = check_parity(Faulty(fault), salt, seed=3, stress=True)
    assert not report.passed
    assert words in report.reason
    good = check_parity(PairPotential("pair-ionic"), salt, seed=3, stress=True)
    assert good.passed
    assert good.frames[0].largest_stress_GPa > 0.1


def test_the_plain_path_takes_over_with_a_flag(salt: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    good = PairPotential("pair-ionic")

    def choose(settings: PotentialSettings) -> PairPotential:
        return Faulty("force off") if settings.fast else good

    monkeypatch.setattr("ionsieve.potentials.parity.load", choose)
    potential, report, flags = load_checked(PotentialSettings(name="pair-ionic"), salt, seed=1)
    assert potential is good
    assert not report.passed
    assert flags == (Flag.PARITY_FALLBACK,)


def test_a_plain_path_that_is_not_finite_ends_it(salt: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ionsieve.potentials.parity.load", lambda settings: Faulty("nan in a later element of the batch")
    )
    with pytest.raises(SetupError, match="not finite"):
        load_checked(PotentialSettings(name="pair-ionic"), salt, seed=1)


class FakeMeter:
    """A device whose memory follows a law, with an overhead that no model of ours contains."""

    def __init__(self, potential: PairPotential, law: Callable[[int, int], float]) -> None:
        self.law, self.calls, self.potential, self.free = law, 0, potential, 10_000_000
        evaluate = potential.evaluate

        def noting(batch: Batch, *, stress: bool = False) -> Evaluation:
            pairs = sum(
                count_edges(
                    Atoms(
                        batch.numbers[batch.system_index == k].numpy(),
                        positions=batch.positions[batch.system_index == k].numpy(),
                        cell=batch.cells[k].numpy(),
                        pbc=True,
                    ),
                    potential.info.cutoff_A,
                )
                for k in range(batch.n_systems)
            )
            self.taken = int(law(pairs, batch.n_atoms))
            return evaluate(batch, stress=stress)

        potential.evaluate = noting  # type: ignore[method-assign]

    def measure(self, call: Callable[[], object]) -> int:
        self.calls += 1
        call()
        return self.taken

    def available(self) -> int:
        return self.free


def test_a_linear_device_is_recovered(salt: Atoms) -> None:
    potential = PairPotential("pair-ionic")
    meter = FakeMeter(potential, lambda edges, atoms: 300 * edges + 5000 * atoms + 70_000)
    model, samples = calibrate(potential, [salt, salt * (2, 1, 1)], meter)
    assert model.per_edge == pytest.approx(300, rel=1e-3)
    assert model.per_atom == pytest.approx(5000, rel=1e-3)
    assert model.fixed == pytest.approx(70_000, rel=1e-3)
    assert len(samples) == meter.calls == 12


def test_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)  # what the allocator of the CPU really says
    assert is_out_of_memory(caught.value)


def test_a_device_too_small_for_the_largest_measurement_is_fitted_to_the_others(salt: Atoms) -> None:
    potential = PairPotential("pair-ionic")
    meter = FakeMeter(potential, lambda edges, atoms: 300 * edges + 5000 * atoms + 70_000)
    measure, room = meter.measure, 400_000

    def small(call: Callable[[], object]) -> int:
        taken = measure(call)
        if taken > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return taken

    meter.measure = small  # type: ignore[method-assign]
    model, samples = calibrate(potential, [salt, salt * (2, 1, 1)], meter)
    assert 2 <= len(samples) < 12
    assert all(model.predict(s.edges, s.atoms) >= s.bytes * (1 - 1e-9) for s in samples)
    room = 0
    with pytest.raises(torch.OutOfMemoryError):  # not even the smallest
        calibrate(potential, [salt], meter)


def test_a_prediction_is_never_below_what_was_measured() -> None:
    rng = np.random.default_rng(1)
    samples = [
        Sample(int(e), int(a), int((40 * e + 900 * a + 10_000) * rng.uniform(0.7, 1.3)))
        for e, a in rng.integers(1, 500, (30, 2)).tolist()
    ]
    model = fit(samples)
    assert all(model.predict(s.edges, s.atoms) >= s.bytes * (1 - 1e-9) for s in samples)
    assert min(model.per_edge, model.per_atom, model.fixed) >= 0
    with pytest.raises(SetupError):
        fit([])


def test_a_book_is_measured_once_and_keeps_its_lowered_bound(salt: Atoms, tmp_path: Path) -> None:
    potential = PairPotential("pair-ionic")
    meter = FakeMeter(potential, lambda edges, atoms: 1000 * edges + 2000 * atoms + 5000)
    book = memory_book(potential, [salt], tmp_path, meter=meter)
    calls = meter.calls
    assert book.bound_bytes == pytest.approx(8_000_000)
    assert book.key["sha256"] == potential.info.sha256
    density = count_edges(salt, potential.info.cutoff_A) / len(salt)
    most = book.most_atoms(density)
    assert book.fits(most * density, most)
    assert not book.fits((most + 1) * density * 1.001, most + 1)
    assert book.cost(density)(most) <= book.bound_bytes - book.model.fixed
    book.ran_out(most * density, most)
    again = memory_book(potential, [salt], tmp_path, meter=meter)
    assert meter.calls == calls
    assert again.bound_bytes == pytest.approx(0.5 * book.model.predict(most * density, most))
    assert again.bound_bytes < 4_000_001
    meter.free = 1_000_000  # another process came: what was learned stays in the file, the bound follows
    assert memory_book(potential, [salt], tmp_path, meter=meter).bound_bytes == pytest.approx(800_000)
    meter.free = 10_000_000
    assert memory_book(potential, [salt], tmp_path, meter=meter).bound_bytes == again.bound_bytes
    other = memory_book(potential, [salt], tmp_path, meter=meter, backend="other")
    assert meter.calls > calls
    assert other.path != again.path


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    book = MemoryBook(MemoryModel(1, 2, 3), 100.0, tmp_path / "book.json", [Sample(1, 2, 3)])
    book.save()
    assert MemoryBook.read(tmp_path / "book.json", 9.0).model == book.model
    text = (tmp_path / "book.json").read_text()
    (tmp_path / "book.json").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="damaged"):
        MemoryBook.read(tmp_path / "book.json", 9.0)
    (tmp_path / "book.json").write_text(json.dumps({**json.loads(text), "schema": 99}))
    with pytest.raises(DataError, match="schema"):
        MemoryBook.read(tmp_path / "book.json", 9.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["book.json"]


def test_the_resident_memory_meter_sees_an_allocation() -> None:
    meter = RssMeter()
    meter.measure(lambda: None)
    taken = meter.measure(lambda: np.ones(8_000_000).sum())
    assert 50e6 < taken < 120e6
    assert meter.available() > 0


@pytest.fixture(scope="module")
def committee_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("committee")
    return [str(write_tiny_mace(folder / f"{seed}.model", numbers=(3, 17), seed=seed)) for seed in range(2)]


def test_a_committee_is_its_mean_and_knows_its_disagreement(salt: Atoms, committee_files: list[str]) -> None:
    settings = PotentialSettings(
        name="mace", path=committee_files[0], committee=tuple(committee_files[1:]), trust=True, dtype="float64"
    )
    potential = load(settings)
    assert isinstance(potential, CommitteePotential)
    assert potential.info.members == 2
    batch = Batch.from_atoms([salt, salt * (2, 1, 1)])
    result = potential.evaluate(batch, stress=True)
    members = [
        load(PotentialSettings(name="mace", path=file, trust=True, dtype="float64")).evaluate(batch, stress=True)
        for file in committee_files
    ]
    forces = torch.stack([m.forces for m in members])
    assert torch.allclose(result.forces, forces.mean(0))
    assert torch.allclose(result.energies, torch.stack([m.energies for m in members]).mean(0))
    expected = ((forces - forces.mean(0)) ** 2).sum(0).sum(1).sqrt()  # divided by members - 1 = 1
    assert result.disagreement is not None
    assert torch.allclose(result.disagreement, expected)
    assert members[0].disagreement is None
    salt.calc = potential.as_ase()
    assert np.abs(salt.get_forces() - result.forces[: len(salt)].numpy()).max() < 1e-8
    assert check_parity(potential, salt, seed=1).passed


def test_a_committee_of_one_model_twice_is_refused(committee_files: list[str]) -> None:
    with pytest.raises(InputError, match="two or more different"):
        registry.load(
            PotentialSettings(name="mace", path=committee_files[0], committee=(committee_files[0],), trust=True)
        )


def test_a_committee_of_pair_potentials_knows_what_all_members_know() -> None:
    members = [PairPotential("pair-lj", PairSettings(sigma_A=2.0)), PairPotential("pair-ionic")]
    assert CommitteePotential(members).info.elements == members[1].info.elements
