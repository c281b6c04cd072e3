"""What is tried again, when, and in which bundles: pure decisions, exact answers."""

from __future__ import annotations

from ionsieve.screening.plan import Task
from ionsieve.screening.retries import (
    BUSY,
    ORPHANED,
    RunRules,
    Trouble,
    after_busy,
    after_error,
    after_loss,
    after_slice,
)
from ionsieve.screening.waiting import Waiting
from ionsieve.store import Request

RULES = RunRules(attempts=4, deaths=3, wait_s=1.0, wait_max_s=5.0, bundle_s=0.5, quick_s=0.1)


def test_each_failure_waits_twice_as_long_and_the_last_chance_starts_from_nothing() -> None:
    trouble, waits, fresh = Trouble(), [], []
    for _ in range(4):
        retry = after_error(trouble, RULES, reason="OSError: no", seconds=2.0)
        trouble = retry.trouble
        waits.append(retry.wait_s)
        fresh.append(trouble.fresh)
    assert waits == [1.0, 2.0, 4.0, 0.0]
    assert fresh == [False, False, True, False]
    assert retry.aside == "failed 4 times: OSError: no"
    assert trouble.seconds == 8.0
    assert [RULES.wait(n) for n in (0, 1, 4, 10**6)] == [0.0, 1.0, 5.0, 5.0]


def test_a_death_counts_against_the_guilty_alone() -> None:
    def lose(trouble: Trouble, *, guilty: bool, begun: bool = True):
        return after_loss(trouble, RULES, guilty=guilty, begun=begun, reason="gone")

    bystander = lose(Trouble(), guilty=False)
    assert bystander.trouble == Trouble()
    assert bystander.wait_s == 0.0
    first = lose(Trouble(), guilty=True)
    assert (first.trouble.deaths, first.trouble.alone, first.wait_s, first.aside) == (1, True, 0.0, "")
    second = lose(first.trouble, guilty=True)
    assert second.wait_s == 1.0
    assert lose(second.trouble, guilty=True).aside == "the worker died under it 3 times"
    assert after_slice(second.trouble, 3.0).trouble.deaths == 0  # it got on in between
    trouble = Trouble()
    for _ in range(ORPHANED):
        retry = lose(trouble, guilty=False, begun=False)
        trouble = retry.trouble
    assert "before it began" in retry.aside
    for _ in range(3 * ORPHANED):  # jobs that end in the queue of a busy cluster, with slices done between
        trouble = after_slice(lose(trouble, guilty=False, begun=False).trouble, 600.0).trouble
    assert trouble.orphaned == 0


def test_a_locked_scratch_folder_is_waited_for_and_then_set_aside() -> None:
    trouble, waited = Trouble(), 0.0
    for _ in range(BUSY):
        retry = after_busy(trouble, RULES)
        assert not retry.aside
        trouble, waited = retry.trouble, waited + retry.wait_s
    assert waited > 100
    assert "locked" in after_busy(trouble, RULES).aside


def queue(rules: RunRules = RULES) -> Waiting:
    return Waiting(rules, on_device=lambda stage: stage == "simulate", many=lambda stage: stage == "simulate")


def ask(n: int, stage: str = "measure") -> Task:
    return Task(Request(stage, 1, parameters={"n": n}), "c", f"{stage}{n}")


def take(waiting: Waiting, *, device: bool | None = None, places: int = 1, alone=lambda task: False):
    return waiting.next_bundle(device=device, places=places, alone=alone)


def test_short_requests_are_bundled_and_long_ones_are_not() -> None:
    waiting = queue()
    for n in range(100):
        waiting.add(ask(n))
    assert len(take(waiting)) == 1  # nobody knows yet how long it takes
    waiting.took("measure", 0.0105)
    assert len(take(waiting)) == 47  # half a second of work
    assert len(take(waiting, places=20)) == 9  # shared out, but never below a tenth of a second
    waiting.took("simulate", 60.0)
    for n in range(5):
        waiting.add(ask(n, "simulate"))
    waiting.took("measure", 1e6)
    assert [t.stage for t in take(waiting, device=False)] == ["measure"]
    assert [t.stage for t in take(waiting, device=True)] == ["simulate"] * 3  # a GPU moves many cells in one pass


def test_later_stages_go_first_and_the_suspect_goes_alone() -> None:
    waiting = queue()
    waiting.took("measure", 1e-3)
    waiting.took("fit", 1e-3)
    for n in range(3):
        waiting.add(ask(n))
    waiting.add(ask(0, "fit"))
    assert [t.label for t in take(waiting)] == ["fit0"]
    bundles = [take(waiting, alone=lambda task: task.label == "measure1") for _ in range(3)]
    assert [[t.label for t in b] for b in bundles] == [["measure0"], ["measure1"], ["measure2"]]


def test_what_must_wait_goes_out_when_its_time_has_come() -> None:
    waiting = queue()
    waiting.add(ask(0), not_before=10.0, now=8.0)
    assert len(waiting) == 1
    waiting.wake(9.9)
    assert not waiting.ready()
    waiting.wake(10.0)
    assert [t.label for t in take(waiting)] == ["measure0"]
    assert len(waiting) == 0


def test_of_short_requests_a_later_stage_waits_for_a_full_bundle() -> None:
    waiting = queue()
    for stage in ("generate", "measure"):
        waiting.took(stage, 0.05)  # ten make a bundle
    for n in range(30):
        waiting.add(ask(n, "generate"))
    for n in range(4):
        waiting.add(ask(n))
    assert [t.stage for t in take(waiting)] == ["generate"] * 10
    for n in range(4, 20):
        waiting.add(ask(n))
    assert [t.stage for t in take(waiting)] == ["measure"] * 10
    rest = [task.stage for _ in range(100) if waiting.ready() for task in take(waiting)]
    assert sorted(rest) == ["generate"] * 20 + ["measure"] * 10  # what fills no bundle goes out at the end
    assert len(waiting) == 0


def test_long_work_waits_for_a_free_place_and_short_work_does_not() -> None:
    waiting = queue()
    waiting.add(ask(0, "simulate"))
    assert waiting.long("simulate")  # so is what nobody has timed yet
    assert not waiting.long("measure")
    assert waiting.ready()
    assert not waiting.ready(brief=True)
    waiting.add(ask(0))
    assert [t.stage for t in waiting.next_bundle(device=None, places=1, alone=lambda task: False, brief=True)] == [
        "measure"
    ]
    waiting.took("simulate", 1e-3)
    assert waiting.ready(brief=True)


def test_what_leads_to_runs_goes_before_the_last_runs_that_wait() -> None:
    waiting = queue()
    for stage in ("generate", "relax"):
        waiting.took(stage, 1e-3)
        waiting.add(ask(0, stage))
    for n in range(4):
        waiting.add(ask(n, "simulate"))
    assert [take(waiting, places=2)[0].stage for _ in range(3)] == ["simulate", "relax", "generate"]
    assert [take(waiting, places=2)[0].stage for _ in range(3)] == ["simulate"] * 3  # nothing else is left
    on_gpu = Waiting(RULES, on_device=lambda stage: stage != "measure", many=lambda stage: stage == "simulate")
    on_gpu.add(ask(1, "relax"))
    for n in range(127):
        on_gpu.add(ask(n, "simulate"))
    assert [t.stage for t in take(on_gpu, device=True)] == ["relax"]  # until there are bundles of runs for it
