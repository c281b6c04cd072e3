"""The commands that work from a folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ionsieve.cli.app import run
from ionsieve.screening.pool import SerialPool
from ionsieve.screening.retries import RunRules
from ionsieve.screening.run import run_plan
from ionsieve.store import Request, Row, State, Store
from ionsieve.testing import null_campaign as null
from ionsieve.testing.null_campaign import NullBuilders, null_campaign, null_subjects

STAGES = "ionsieve.testing.null_campaign:STAGES"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    campaign = null_campaign(17, steps=1, temperatures_K=(1200.0, 1400.0))
    store = Store.create(tmp_path / "run", campaign)
    run_plan(
        store,
        null_subjects(campaign),
        NullBuilders(campaign),
        pool=lambda: SerialPool(store.folder, STAGES),
        stages=STAGES,
    )
    return store.folder


def test_status_shows_stages_and_reasons(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(folder)]) == 0
    text = capsys.readouterr().out
    for word in ("finished", "simulate", "17 of 17 candidates settled", "melts every 17th above 1300 K"):
        assert word in " ".join(text.split())
    assert " ".join(text.split()).count("c000016--c0--1400K-r0: the null campaign melts") == 1, "run and measurement"


def test_what_a_killed_run_was_at_waits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(folder)
    with store.lock:
        store.ledger.write([Row(key="k", stage="simulate", candidate="c000001", state=State.RUNNING)])
        assert run(["status", str(folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["stages"]["simulate"]["running"] == 1
    store.close()
    assert run(["status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["simulate"] == {"done": 31, "failed": 1, "waiting": 1}


def test_people_hear_of_a_failure_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = null_campaign(17, steps=1, temperatures_K=(1400.0,))
    store = Store.create(tmp_path / "run", campaign)
    run_plan(
        store,
        null_subjects(campaign),
        NullBuilders(campaign),
        pool=lambda: SerialPool(store.folder, STAGES),
        stages=STAGES,
        progress="plain",
    )
    assert capsys.readouterr().err.count("c000016--c0--1400K-r0: the null campaign melts") == 1


def test_status_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "finished"
    assert told["stages"]["simulate"] == {"done": 31, "failed": 1}
    assert told["trouble"][0]["outcome"] == "melted"


def test_status_tells_a_candidates_story(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(folder), "c000016"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "c000016--c0--1400K-r0" in text
    assert "finished simulate" in text
    assert "simulate c0--1200K-r0 done" in text, "the name above the table is not repeated in its rows"
    assert run(["status", str(folder), "c000061"]) == 2
    assert "did you mean 'c000016'" in capsys.readouterr().err


def test_status_of_no_campaign_teaches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(tmp_path)]) == 2
    assert "there is no campaign in this folder" in capsys.readouterr().err


def test_retry_wants_to_know_what(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["retry", str(folder)]) == 2
    assert "--failed" in capsys.readouterr().err
    assert run(["retry", str(folder), "--failed"]) == 0
    assert "nothing to release" in capsys.readouterr().out


def test_retry_chemistry_forgets_what_followed(folder: Path) -> None:
    store = Store.open(folder)
    (failed,) = [row for row in store.ledger.trouble([State.FAILED]) if row.stage == "simulate"]
    store.close_ledger()
    assert run(["retry", str(folder), "--chemistry"]) == 0
    assert not store.has(failed.key)
    assert list(store.keys("rank")) == [], "the ranking that knew of the melted run"
    assert len(list(store.keys("fit"))) == 15, "its siblings stay; its own estimate, which lists the melt, goes"


def test_clean_verify_and_cancel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["clean", str(folder)]) == 0
    assert "freed" in capsys.readouterr().out
    assert run(["verify", str(folder)]) == 0
    assert "every digest agrees" in capsys.readouterr().out
    next((folder / "files").rglob("trajectory.bin")).write_text("x")
    assert run(["verify", str(folder)]) == 1
    assert "1 damaged" in capsys.readouterr().out
    assert run(["cancel", str(folder)]) == 0
    assert "nothing runs here" in capsys.readouterr().out


def test_care_while_a_run_is_on_leaves_alone_what_it_may_be_writing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(folder)
    finished, open_work = next(iter(store.keys("simulate"))), "a" * 64
    for name in (finished, open_work, "dask"):
        (folder / "scratch" / name).mkdir(parents=True)
    part = folder / "records" / "simulate" / "x.json.part-1-abc"
    part.write_text("half")
    with store.lock:
        assert run(["status", str(folder)]) == 0
        assert run(["clean", str(folder)]) == 0
        assert sorted(p.name for p in (folder / "scratch").iterdir()) == [open_work, "dask"]
        assert part.exists()
        for option in ("--checkpoints", "--outdated"):
            assert run(["clean", str(folder), option]) == 2
        assert "is working on this folder" in capsys.readouterr().err
        assert run(["retry", str(folder), "--failed"]) == 0
        assert "noted" in capsys.readouterr().out
    assert run(["clean", str(folder)]) == 0
    assert [p.name for p in (folder / "scratch").iterdir()] == [open_work]
    assert not part.exists()


def test_the_run_that_is_on_tries_again_what_was_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = null_campaign(2, steps=1, temperatures_K=(800.0,))
    store = Store.create(tmp_path / "run", campaign)
    whole, calls = null.STAGES["fit"].run, []

    def fails_three_times(request: Request, store_: Store, deadline_s: float | None) -> object:
        calls.append(request.key)
        if len(calls) == 3:
            assert run(["retry", str(store_.folder), "--failed"]) == 0
        if len(calls) <= 3:
            raise OSError("no")
        return whole(request, store_, deadline_s)

    monkeypatch.setattr(null.STAGES["fit"], "run", fails_three_times)
    report = run_plan(
        store,
        null_subjects(campaign),
        NullBuilders(campaign),
        pool=lambda: SerialPool(store.folder, STAGES),
        stages=STAGES,
        rules=RunRules(wait_s=0.0),
    )
    assert "noted" in capsys.readouterr().out
    assert report.exit_code == 0
    assert not (store.folder / "retry").exists()
    assert len(list(store.keys("fit"))) == 2


def test_submit_dry_run_prints_every_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results"
    assert run(["submit", "quickstart", "--cluster", "slurm-mixed", "--out", str(out), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert text.count("#SBATCH -J") == 3
    assert "resume" in text
    assert not out.exists()


def test_submit_refuses_what_has_no_queue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "quickstart", "--cluster", "local-gpu", "--out", str(tmp_path / "x")]) == 2
    assert "ionsieve run CAMPAIGN --cluster local-gpu" in capsys.readouterr().err
    assert run(["submit", "quickstart", "--cluster", "slurm-gpu", "--out", str(tmp_path / "a b")]) == 2
    assert "blanks" in capsys.readouterr().err


def test_status_is_quick_on_a_large_ledger(tmp_path: Path) -> None:
    import time

    from ionsieve.screening.status import read_status

    store = Store.create(tmp_path / "big", null_campaign(1))
    with store.lock:
        for start in range(0, 100_000, 10_000):
            store.ledger.write(
                [Row(key=f"{i:064x}", stage="simulate", candidate=f"c{i}") for i in range(start, start + 10_000)]
            )
        store.close()
    begin = time.perf_counter()
    assert read_status(store.folder).stages["simulate"]["waiting"] == 100_000
    assert time.perf_counter() - begin < 1.0
