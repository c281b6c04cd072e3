"""Planning asks every question once, whatever the order of the answers."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from ionsieve.screening.facts import facts
from ionsieve.screening.funnel import FunnelSettings
from ionsieve.screening.plan import Plan, Task
from ionsieve.store import Store
from ionsieve.testing.null_campaign import STAGES, NullBuilders, null_campaign, null_subjects


def walk(plan: Plan, store: Store, order: random.Random | None = None, quarantine: str = "") -> Counter[str]:
    """Answer every question in this process, in any order; count them."""
    asked: Counter[str] = Counter()
    pending: list[Task] = plan.start()
    seen: set[str] = set()
    while pending:
        task = pending.pop(order.randrange(len(pending)) if order else 0)
        assert task.key not in seen, "asked twice"
        seen.add(task.key)
        asked[task.stage] += 1
        if quarantine and task.label.startswith(quarantine) and task.stage == "simulate":
            pending += plan.abandon(task, "died")
            continue
        stored = store.stored(task.key)
        if stored is None:
            record = STAGES[task.stage].run(task.request, store, None)
            store.put(task.request, record)
            stored = store.stored(task.key)
        assert stored is not None
        pending += plan.learn(task, facts(stored.data))
        again = plan.task(task.key)
        assert again is None or again.request == task.request, "a question can be worded again"
    assert plan.finished
    return asked


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "run", null_campaign(12, steps=1))


def test_exhaustive_asks_every_run_once(store: Store) -> None:
    campaign = null_campaign(12, steps=1)
    asked = walk(Plan(null_subjects(campaign), NullBuilders(campaign)), store)
    assert asked == {"generate": 12, "sieve": 12, "relax": 11, "simulate": 44, "measure": 44, "fit": 11, "rank": 1}


def test_the_order_of_answers_does_not_change_the_ranking(store: Store) -> None:
    campaign = null_campaign(12, steps=1)
    for seed in range(4):
        walk(Plan(null_subjects(campaign), NullBuilders(campaign)), store, random.Random(seed))
    assert len(list(store.keys("rank"))) == 1


def test_the_funnel_reaches_the_same_table_in_any_order(store: Store) -> None:
    campaign = null_campaign(12, steps=1, replicas=2)
    runs = set()
    for seed in range(3):
        plan = Plan(null_subjects(campaign), NullBuilders(campaign), funnel=FunnelSettings(top_k=3, draws=300))
        asked = walk(plan, store, random.Random(seed))
        runs.add(asked["simulate"])
        actions = Counter(d.action for d in plan.decisions)
        assert actions["finish"] == 1
        assert actions["submit"] == asked["simulate"]
        assert all(d.why for d in plan.decisions)
    assert len(runs) == 1
    assert runs.pop() < 11 * 8, "the funnel asks for less than everything"
    assert len(list(store.keys("rank"))) == 1


def test_quarantined_runs_leave_the_rest_standing(store: Store) -> None:
    campaign = null_campaign(12, steps=1)
    asked = walk(Plan(null_subjects(campaign), NullBuilders(campaign)), store, quarantine="c000003")
    assert asked["fit"] == 10
    assert asked["rank"] == 1


def test_one_quarantined_run_of_four_still_gives_an_estimate(store: Store) -> None:
    campaign = null_campaign(12, steps=1)
    asked = walk(Plan(null_subjects(campaign), NullBuilders(campaign)), store, quarantine="c000003--c0--800K")
    assert asked["fit"] == 11


@pytest.mark.parametrize("funnel", [None, FunnelSettings(top_k=2, draws=100)])
def test_a_campaign_whose_every_run_fails_ends(store: Store, funnel: FunnelSettings | None) -> None:
    campaign = null_campaign(3, steps=1)
    asked = walk(Plan(null_subjects(campaign), NullBuilders(campaign), funnel=funnel), store, quarantine="c0")
    assert asked["fit"] == 0
    assert asked["rank"] == 1


def test_an_empty_campaign_ends_at_once(store: Store) -> None:
    campaign = null_campaign(0)
    assert walk(Plan([], NullBuilders(campaign)), store) == {"rank": 1}


def test_a_second_answer_opens_nothing(store: Store) -> None:
    campaign = null_campaign(1, steps=1)
    plan = Plan(null_subjects(campaign), NullBuilders(campaign))
    (task,) = plan.start()
    store.put(task.request, STAGES["generate"].run(task.request, store, None))
    stored = store.stored(task.key)
    assert stored is not None
    assert len(plan.learn(task, facts(stored.data))) == 1
    assert plan.learn(task, facts(stored.data)) == []
