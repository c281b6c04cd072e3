"""The store: answers under the address of their question, verified, borrowed, rebuilt."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ionsieve.errors import BugError, DataError, InputError, SetupError, TransientError
from ionsieve.records import Candidate, FileReference, PotentialIdentity, Run, RunRecord
from ionsieve.store import DamagedError, EventLog, Request, Row, State, Store, safe_name
from ionsieve.store import folder as fs
from ionsieve.store.migrations import migrate_record, plan_folder
from ionsieve.verdicts import Outcome

CAMPAIGN = {"name": "toy", "seed": 1, "dynamics": {"dt_fs": 2.0}, "run": {"workers": 2}}


def candidate(name: str = "Na3OCl", outcome: Outcome = Outcome.COMPLETED) -> Candidate:
    return Candidate(
        candidate_id=name, prototype="Na3OCl_Pm-3m", family="antiperovskite", mobile_ion="Na", mobile_charge=1,
        target_formula="Na3OCl", outcome=outcome, reason="because" if outcome is not Outcome.COMPLETED else "",
    )  # fmt: skip


def ask(n: int = 0, stage: str = "generate") -> Request:
    return Request(stage, 1, parameters={"n": n})


def run_record(reference: FileReference | None) -> RunRecord:
    run = Run(run_id="x--1K-r0", configuration_id="x--c0", candidate_id="x", temperature_K=1.0, seed=1)
    potential = PotentialIdentity(name="pair", sha256="0" * 64)
    return RunRecord(run=run, potential=potential, engine="batch", integrator="csvr", trajectory=reference)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "run", CAMPAIGN)


def test_put_and_get(store: Store) -> None:
    key = store.put(ask(), candidate())
    assert store.get(key, Candidate) == candidate()
    assert Store.open(store.folder).get(key, Candidate) == candidate()
    assert store.request(key) == ask()
    assert store.get(ask(1).key, Candidate) is None
    assert [r for r, _ in store.records("generate", Candidate)] == [ask()]
    path = store.record_path("generate", key)
    assert json.loads(path.read_text())["request"]["parameters"] == {"n": 0}
    with pytest.raises(DamagedError, match="is missing"):
        store.need(ask(1).key, Candidate)


def test_the_second_answer_is_dropped(store: Store) -> None:
    key = store.put(ask(), candidate("A"))
    before = store.record_path("generate", key).read_bytes()
    store.put(ask(), candidate("B"))
    assert store.record_path("generate", key).read_bytes() == before


def test_equal_answers_give_equal_bytes(tmp_path: Path) -> None:
    stores = [Store.create(tmp_path / n, CAMPAIGN) for n in "ab"]
    contents = {s.record_path("generate", s.put(ask(), candidate())).read_bytes() for s in stores}
    assert len(contents) == 1


@pytest.mark.parametrize("position", [0, 12, 76, 80, 200, -3])
def test_a_flipped_bit_anywhere_is_found(store: Store, position: int) -> None:
    key = store.put(ask(), candidate())
    path = store.record_path("generate", key)
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedError) as caught:
        store.get(key, Candidate)
    assert caught.value.problem.key == f"generate/{key}"
    store.put(ask(), candidate())  # sets the damaged one aside and stores the new one
    assert store.get(key, Candidate) == candidate()
    assert len(list((store.folder / "damaged" / "generate").iterdir())) == 1


@pytest.mark.parametrize("size", [0, 5, 80, 300])
def test_a_cut_record_is_found(store: Store, size: int) -> None:
    key = store.put(ask(), candidate())
    path = store.record_path("generate", key)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedError):
        store.get(key, Candidate)


def test_an_intact_record_under_another_name_is_refused(store: Store) -> None:
    key, other = store.put(ask(), candidate()), ask(1).key
    target = store.record_path("generate", other)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(store.record_path("generate", key).read_bytes())
    with pytest.raises(DamagedError):
        store.get(other, Candidate)


def test_files_move_in_from_scratch_and_are_verified(store: Store) -> None:
    request = ask(stage="simulate")
    work = store.workdir(request.key)
    (work / "trajectory.h5").write_bytes(b"frames" * 1000)
    (work / "checkpoint").write_bytes(b"state")
    key = store.put(request, run_record(store.reference(work / "trajectory.h5")))
    record = store.get(key, RunRecord)
    assert record is not None
    assert record.trajectory is not None
    assert record.trajectory.path == f"files/simulate/{key}/trajectory.h5"
    assert store.file(record.trajectory).read_bytes() == b"frames" * 1000
    assert not work.exists()
    path = store.folder / record.trajectory.path
    for damage in (lambda: path.write_bytes(b"frbmes" * 1000), lambda: path.write_bytes(b"fr"), path.unlink):
        damage()
        with pytest.raises(DamagedError) as caught:
            store.file(record.trajectory)
        assert caught.value.problem.key == f"simulate/{key}"


def test_a_record_cannot_name_what_is_not_its_own(store: Store) -> None:
    request = ask(stage="simulate")
    for path in ("../../etc/passwd", "/etc/passwd", "campaign.json"):
        reference = FileReference(path=path, sha256="0" * 64, size_bytes=1)
        with pytest.raises((BugError, DataError)):
            store.put(request, run_record(reference))
    assert not store.has(request.key)


def test_adopt_leaves_the_file_in_scratch_until_the_record_is_there(store: Store) -> None:
    request = ask(stage="simulate")
    work = store.workdir(request.key)
    (work / "t.h5").write_bytes(b"x")
    reference = store.adopt(request, work / "t.h5")
    assert (work / "t.h5").exists()
    store.adopt(request, work / "t.h5")  # again, after a kill
    store.put(request, run_record(reference))
    assert not work.exists()
    assert [p.name for p in (store.folder / "files/simulate" / request.key).iterdir()] == ["t.h5"]
    (store.workdir(request.key) / "y").write_bytes(b"x")
    with pytest.raises(InputError):
        store.adopt(request, store.workdir(request.key) / "y", "../y")


def test_a_folder_belongs_to_one_campaign(store: Store) -> None:
    store.put(ask(), candidate())
    again = Store.create(store.folder, {**CAMPAIGN, "run": {"workers": 7}})
    assert again.has(ask().key)
    other = {**CAMPAIGN, "seed": 2}
    with pytest.raises(InputError, match="belongs to another campaign") as caught:
        Store.create(store.folder, other)
    assert "run.share" in caught.value.problem.remedy
    amended = Store.create(store.folder, other, amend=True)
    assert amended.campaign["seed"] == 2
    assert amended.has(ask().key)
    assert len(list((store.folder / "campaigns").iterdir())) == 1


def test_another_way_of_running_is_what_is_resumed(store: Store) -> None:
    Store.create(store.folder, {**CAMPAIGN, "run": {"workers": 7}}, source="name: toy # seven")
    again = Store.open(store.folder)
    assert again.campaign["run"] == {"workers": 7}
    assert again.campaign_id == store.campaign_id
    assert (store.folder / "campaign.yaml").read_text() == "name: toy # seven"


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_an_amendment_killed_at_any_file_leaves_one_of_the_two(
    store: Store, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, real, left = {**CAMPAIGN, "seed": 2}, fs.write_file, [writes]

    def dies(*told: object, **named: object) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(*told, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(fs, "write_file", dies)
    with pytest.raises(KeyboardInterrupt):
        Store.create(store.folder, other, amend=True)
    monkeypatch.setattr(fs, "write_file", real)
    assert Store.open(store.folder).campaign["seed"] in (1, 2)
    assert Store.create(store.folder, other, amend=True).campaign["seed"] == 2
    assert Store.open(store.folder).campaign["seed"] == 2


def test_a_folder_is_made_and_amended_under_its_lock(store: Store) -> None:
    other = {**CAMPAIGN, "seed": 2}
    before = {p.name: p.read_bytes() for p in store.folder.iterdir() if p.name != "lock"}
    with store.lock:
        for amend in (False, True):
            with pytest.raises(InputError, match="is working on this folder"):
                Store.create(store.folder, other, amend=amend)
    assert {p.name: p.read_bytes() for p in store.folder.iterdir() if p.name != "lock"} == before
    held = Store.create(store.folder, other, amend=True, hold=True)
    assert held.lock.held
    assert "working on this folder" in _second_run(store)
    held.close()
    assert _second_run(store).strip() == "taken"


def test_a_start_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("lock", "campaign.json", "campaign.yaml"):
        (folder / name).write_text("{}")
    assert Store.create(folder, CAMPAIGN).campaign == CAMPAIGN
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "campaign.yaml").write_text("name: my own file")
    with pytest.raises(InputError, match="other files"):
        Store.create(tmp_path / "mine", CAMPAIGN)


def test_a_layout_is_brought_up_to_date_once_and_under_the_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ionsieve.store import migrations
    from ionsieve.store import store as module

    done: list[Path] = []
    monkeypatch.setattr(module, "LAYOUT", 2)
    monkeypatch.setattr(module, "plan_folder", lambda layout, where: [done.append] if layout == 1 else [])
    with store.lock, pytest.raises(InputError, match="working on this folder"):
        Store.open(store.folder)
    assert done == []
    Store.open(store.folder)
    Store.open(store.folder)
    assert done == [store.folder]
    assert json.loads((store.folder / "store.json").read_text())["layout"] == 2
    monkeypatch.undo()
    with pytest.raises(DataError, match="newer version"):
        Store.open(store.folder)
    assert migrations.LAYOUT == 1


def test_records_put_together_appear_together(store: Store) -> None:
    path = [store.record_path("generate", ask(n).key) for n in range(6)]
    with store.together():
        for n in range(6):
            stored = store.keep(ask(n), candidate(f"c{n}"))
            assert stored.path == path[n]
            assert not path[n].exists()
        store.keep(ask(3), candidate("another"))  # the second answer is dropped
    assert [store.need(ask(n).key, Candidate).candidate_id for n in range(6)] == [f"c{n}" for n in range(6)]
    assert stored.digest == store.stored(ask(5).key).digest  # type: ignore[union-attr]
    alone = store.record_path("generate", store.put(ask(9), candidate("c0")))
    assert path[0].read_bytes().split(b"\n")[2] == alone.read_bytes().split(b"\n")[2]

    def fail_half_way() -> None:
        with store.together():
            store.put(ask(7), candidate())
            raise LookupError

    with pytest.raises(LookupError):
        fail_half_way()
    assert not store.has(ask(7).key)
    assert not [p for p in store.folder.rglob("*") if fs.is_temporary(p)]


def test_a_disk_that_fills_up_at_the_flush_leaves_none_of_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: object, *, root: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs, "flush", full)
    with pytest.raises(SetupError, match="No space left"), store.together():
        store.put(ask(), candidate())
    assert not store.has(ask().key)
    assert not [p for p in store.folder.rglob("*") if fs.is_temporary(p)]


@pytest.mark.parametrize("together", [True, False])
def test_flush_reaches_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    paths = [fs.write_part(tmp_path / str(n), b"x") for n in range(10)]
    if not together:  # a system without syncfs, or one where it fails
        monkeypatch.setattr(fs, "_syncfs", lambda handle: -1)
    flushed = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(handle) or real(handle))
    fs.flush(paths, root=tmp_path)
    assert len(flushed) == (0 if together and fs._syncfs is not None else 10)


def test_an_edited_campaign_is_refused(store: Store) -> None:
    path = store.folder / "campaign.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(DataError, match="edited"):
        _ = Store.open(store.folder).campaign
    path.unlink()
    with pytest.raises(DataError, match="missing"):
        _ = Store.open(store.folder).campaign


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no campaign"):
        Store.open(tmp_path)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="other files"):
        Store.create(tmp_path, CAMPAIGN)
    with pytest.raises(InputError, match="a file, not a folder"):
        Store.create(tmp_path / "thesis.tex", CAMPAIGN)


def test_a_shared_store_lends_its_results(tmp_path: Path) -> None:
    first = Store.create(tmp_path / "a", CAMPAIGN)
    request = ask(stage="simulate")
    (first.workdir(request.key) / "t.h5").write_bytes(b"x" * 100)
    key = first.put(request, run_record(first.reference(first.workdir(request.key) / "t.h5")))
    damaged = first.put(ask(5), candidate())
    path = first.record_path("generate", damaged)
    path.write_bytes(path.read_bytes()[:-5])
    second = Store.create(tmp_path / "b", {**CAMPAIGN, "seed": 9}, share=[first.folder])
    record = Store.open(second.folder).get(key, RunRecord)
    assert record is not None
    assert record.trajectory is not None
    assert second.file(record.trajectory).read_bytes() == b"x" * 100
    assert second.record_path("simulate", key).exists()
    assert not second.has(damaged)


SECOND = """
import sys
from pathlib import Path
from ionsieve.errors import InputError
from ionsieve.store import FolderLock
try:
    with FolderLock(Path(sys.argv[1])):
        print("taken")
except InputError as error:
    print(error)
"""


def _second_run(store: Store) -> str:
    command = [sys.executable, "-c", SECOND, str(store.folder / "lock")]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_second_writer_is_refused_until_the_first_is_gone(store: Store) -> None:
    with store.lock:
        answer = _second_run(store)
        assert f"process {os.getpid()} on {socket.gethostname()}" in answer
        assert "ionsieve status" in answer
    assert _second_run(store).strip() == "taken"


def test_a_lock_of_another_host_counts_while_it_is_touched(store: Store) -> None:
    path = store.folder / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 1.0, "since": 1.0, "released": False}))
    with pytest.raises(InputError, match="elsewhere"):
        store.lock.acquire()
    os.utime(path, (1, 1))
    with store.lock:
        assert store.lock.held


def test_ledger_needs_the_lock_to_write(store: Store) -> None:
    with store.lock:
        store.ledger.write([Row(key="k", stage="relax", candidate="A")])
    row = store.ledger.get("k")
    assert row is not None
    assert row.state is State.WAITING
    with pytest.raises(BugError):
        store.ledger.write([Row(key="k", stage="relax")])
    store.close()


def test_ledger_totals_follow_the_rows(store: Store) -> None:
    with store.lock:
        ledger = store.ledger
        ledger.write([Row(key=str(i), stage="simulate", seconds=1.0) for i in range(10)])
        ledger.write([Row(key=str(i), stage="simulate", state=State.RUNNING, seconds=2.0) for i in range(4)])
        ledger.write([Row(key="0", stage="simulate", state=State.FAILED, outcome="melted", seconds=3.0, ps=5.0)])
        ledger.remove(["9"])
        totals = {(t["state"], t["outcome"]): (t["n"], t["seconds"], t["ps"]) for t in ledger.totals()}
        assert totals == {
            ("waiting", ""): (5, 5.0, 0),
            ("running", ""): (3, 6.0, 0),
            ("failed", "melted"): (1, 3.0, 5.0),
        }
        with pytest.raises(BugError, match="cannot go from failed to running"):
            ledger.write([Row(key="0", stage="simulate", state=State.RUNNING)])
    store.close()


def test_trouble_is_found_without_reading_the_whole_table(store: Store) -> None:
    with store.lock:
        store.ledger.write([Row(key="a", stage="relax", state=State.FAILED), Row(key="b", stage="relax")])
    assert [r.key for r in store.ledger.trouble([State.FAILED, State.QUARANTINED])] == ["a"]
    with sqlite3.connect(store.folder / "ledger.sqlite") as db:
        where = "state IN ('failed', 'quarantined', 'running') AND state IN ('failed')"
        plan = str(db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM tasks WHERE {where}").fetchall())
    assert "by_trouble" in plan
    store.close()


def test_a_full_disk_leaves_the_ledger_as_it_was_and_says_so(store: Store) -> None:
    with store.lock:
        store.ledger.write([Row(key="a", stage="fit")])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((store.folder / "ledger.sqlite").stat().st_size, hard))
        try:
            with pytest.raises(SetupError, match="cannot be written") as caught:
                store.ledger.write([Row(key=f"b{i}", stage="fit", reason="x" * 1000) for i in range(200)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "free some space" in caught.value.problem.remedy
        assert [row.key for row in store.ledger.rows()] == ["a"]
        store.ledger.write([Row(key="c", stage="fit")])
        assert [row.key for row in store.ledger.rows()] == ["a", "c"]


def test_the_ledger_is_rebuilt_from_the_files(store: Store) -> None:
    with store.lock:
        store.events.open()
        keys = [
            store.put(ask(i), candidate(f"c{i}", Outcome.NOT_NEUTRAL if i == 2 else Outcome.COMPLETED))
            for i in range(4)
        ]
        store.events.append("finished", {"key": keys[0], "stage": "generate", "seconds": 2.5, "worker": "w1"})
        store.events.append("quarantined", {"key": "q" * 64, "stage": "simulate", "candidate": "c9", "reason": "died"})
        store.ledger.write([Row(key="stale", stage="simulate")])
        assert store.rebuild(lambda data: {"name": data["candidate_id"]}) == 5
        rows = {r.key: r for r in store.ledger.rows()}
        assert set(rows) == {*keys, "q" * 64}
        assert rows[keys[0]].seconds == 2.5
        assert rows[keys[0]].attempts == 1
        assert rows[keys[2]].state is State.FAILED
        assert rows[keys[2]].reason == "because"
        assert rows[keys[1]].facts == {"name": "c1"}
        assert rows["q" * 64].state is State.QUARANTINED
    store.close()


def test_a_rebuilding_that_ends_half_way_leaves_no_half_ledger(store: Store) -> None:
    with store.lock:
        keys = [store.put(ask(i), candidate(f"c{i}", Outcome.COMPLETED)) for i in range(4)]
        store.ledger.write([Row(key="before", stage="fit")])
        asked: list[str] = []

        def stopped(data: Mapping[str, Any]) -> Mapping[str, Any]:
            asked.append(str(data["candidate_id"]))
            if len(asked) == 3:
                raise KeyboardInterrupt
            return {}

        with pytest.raises(KeyboardInterrupt):
            store.rebuild(stopped)
        assert [r.key for r in store.ledger.rows()] == ["before"], "the old one stands until the new one is whole"
        assert store.rebuild(lambda data: {}) == 4
        assert {r.key for r in store.ledger.rows()} == set(keys)
        assert not list(store.folder.glob("ledger.sqlite.new*"))
    store.close()


KILLED_IN_A_COMMIT = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size=1")  # pages go to the file before the commit: the journal is hot
db.execute("BEGIN IMMEDIATE")
for n in range(2000):
    db.execute("INSERT INTO meta VALUES (?, ?)", (f"half-{n}", "1" * 500))
os.kill(os.getpid(), 9)
"""


def half_written(store: Store) -> None:
    with store.lock:
        store.ledger.write([Row("a" * 40, "generate")])
        store.close()
    path = store.folder / "ledger.sqlite"
    subprocess.run([sys.executable, "-c", KILLED_IN_A_COMMIT, str(path)], check=False)
    assert path.with_name("ledger.sqlite-journal").stat().st_size > 0


def test_a_reader_puts_right_what_a_kill_left_half_written(store: Store) -> None:
    half_written(store)
    ledger = Store.open(store.folder).ledger
    assert not ledger.writable
    assert [row.key for row in ledger.rows()] == ["a" * 40]
    assert ledger.get_meta("half-1") is None
    assert not store.lock.held


def test_a_reader_leaves_a_half_written_ledger_to_the_run_that_holds_the_lock(store: Store) -> None:
    half_written(store)
    with store.lock, pytest.raises(TransientError, match="killed while it wrote") as caught:
        Store.open(store.folder).ledger  # noqa: B018
    assert "resume" in caught.value.problem.remedy


def test_a_broken_ledger_says_what_to_do(store: Store) -> None:
    (store.folder / "ledger.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match="made again from the files"):
        _ = store.ledger


def test_events_survive_a_torn_line(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.open()
    log.extend([("started", {}), ("finished", {"key": "k"})])
    log.close()
    with (tmp_path / "events.jsonl").open("ab") as stream:
        stream.write(b'{"n": 2, "kind": "fini')
    assert [e["n"] for e in log] == [0, 1]
    log.open()
    assert log.append("resumed") == 2
    log.close()
    assert [(e["n"], e["kind"]) for e in log] == [(0, "started"), (1, "finished"), (2, "resumed")]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "a\x00b", ".hidden", "a b", "x" * 300, "a..b", "-rf", "a\nb", "é"]
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        safe_name(name)


def test_a_full_disk_is_a_setup_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="No space left") as caught:
        fs.write_file(tmp_path / "x", "data")
    assert "resume" in caught.value.problem.remedy
    assert list(tmp_path.iterdir()) == []


def test_records_migrate_step_by_step() -> None:
    steps = {("Toy", 1, 2): lambda d: {**d, "b": 1}, ("Toy", 2, 3): lambda d: {**d, "b": d["b"] + 1}}
    out = migrate_record({"record": "Toy", "schema": 1}, name="Toy", schema=3, steps=steps)
    assert out == {"record": "Toy", "schema": 3, "b": 2}
    with pytest.raises(DataError, match="newer version"):
        migrate_record({"schema": 4}, name="Toy", schema=3, steps=steps)
    with pytest.raises(DataError, match="older version"):
        migrate_record({"schema": 0}, name="Toy", schema=3, steps=steps)


def test_folders_migrate_or_say_why_not(tmp_path: Path) -> None:
    done: list[int] = []
    steps = {1: lambda _: done.append(1), 2: lambda _: done.append(2)}
    for step in plan_folder(1, where="x", steps=steps, newest=3):
        step(tmp_path)
    assert done == [1, 2]
    with pytest.raises(DataError, match="newer version"):
        plan_folder(9, where="x")
    with pytest.raises(DataError, match="older version"):
        plan_folder(0, where="x", steps=steps, newest=3)


def test_a_forgotten_ledger_may_be_closed_by_any_thread(store: Store) -> None:
    import threading

    with store.lock:
        ledger = store.ledger
        told: list[BaseException] = []

        def close() -> None:
            try:
                ledger.close()
            except sqlite3.Error as error:
                told.append(error)

        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
    assert told == []
