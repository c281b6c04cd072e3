"""The funnel decides from results alone, keeps its invariants, and can be replayed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionsieve.errors import BugError
from ionsieve.screening import funnel as fun

TOLD = fun.FunnelSettings(top_k=2, draws=500, seed=3)


def offers(n: int) -> tuple[str, ...]:
    return tuple(f"r{i}" for i in range(n))


def begin(
    names: Sequence[str], runs: int = 4, told: fun.FunnelSettings = TOLD
) -> tuple[fun.FunnelState, list[fun.Action]]:
    state = fun.FunnelState(settings=told, expected=len(names))
    return fun.decide(state, [fun.Offered(n, offers(runs)) for n in names])


def test_every_candidate_gets_one_first_look() -> None:
    state, actions = begin("abc")
    assert [(a.candidate, a.run) for a in actions if isinstance(a, fun.Submit)] == [
        ("a", "r0"),
        ("b", "r0"),
        ("c", "r0"),
    ]
    fun.validate(state)


def test_nothing_is_decided_before_the_round_is_complete() -> None:
    state, _ = begin("abc")
    state, actions = fun.decide(state, [fun.Estimated("a", -5.0, 0.5), fun.Estimated("b", -6.0, 0.5)])
    assert actions == []
    state, actions = fun.decide(state, [fun.Estimated("c", -30.0, 0.5)])
    stopped = [a for a in actions if isinstance(a, fun.Stop)]
    assert [a.candidate for a in stopped] == ["c"]
    assert stopped[0].numbers["probability"] == 0
    assert {a.candidate for a in actions if isinstance(a, fun.Submit)} == {"a", "b"}


def test_the_order_of_arrival_changes_nothing() -> None:
    results = [fun.Estimated(n, -5.0 - i, 1.0) for i, n in enumerate("abcde")]
    outcomes = set()
    for order in (results, results[::-1], results[2:] + results[:2]):
        state, _ = begin("abcde")
        actions: list[fun.Action] = []
        for event in order:
            state, new = fun.decide(state, [event])
            actions += new
        outcomes.add(repr(sorted(map(repr, actions))))
    assert len(outcomes) == 1


def test_known_well_enough_is_finished_and_a_failure_is_closed() -> None:
    state, _ = begin("abc")
    state, actions = fun.decide(
        state, [fun.Estimated("a", -5.0, 0.1), fun.Estimated("b", -5.0, 1.0), fun.Closed("c", "melted")]
    )
    assert state.candidates["a"].status == "finished"
    assert state.candidates["c"].status == "closed"
    assert [a.candidate for a in actions if isinstance(a, fun.Submit)] == ["b"]


def test_the_budget_ends_it() -> None:
    told = fun.FunnelSettings(top_k=1, budget=10.0, draws=200)
    state, _ = begin("ab", told=told)
    state, actions = fun.decide(state, [fun.Estimated("a", -5.0, 1.0), fun.Spent(11.0), fun.Estimated("b", -5.1, 1.0)])
    assert isinstance(actions[-1], fun.Finish)
    assert actions[-1].numbers == {"hours": 11.0, "budget": 10.0}
    assert state.over == "budget"
    assert not any(isinstance(a, fun.Submit) for a in actions)


def test_an_upper_limit_counts_as_a_bound() -> None:
    state, _ = begin("abc", told=fun.FunnelSettings(top_k=1, draws=2000))
    _, actions = fun.decide(
        state, [fun.Estimated("a", -5.0, 0.3), fun.Estimated("b", limit=-12.0), fun.Estimated("c", None)]
    )
    assert "b" in {a.candidate for a in actions if isinstance(a, fun.Stop)}
    assert "c" in {a.candidate for a in actions if isinstance(a, fun.Submit)}, "nothing known excludes nothing"


def test_top_k_probability_against_a_closed_form() -> None:
    # two normals: P(a > b) = Phi((ma - mb) / sqrt(sa² + sb²))
    p = fun.top_k_probability(np.array([1.0, 0.0]), np.array([1.0, 1.0]), 1, draws=40_000, seed=1, step=1)
    exact = 0.5 * (1 + math.erf(1 / math.sqrt(2) / math.sqrt(2)))
    assert p[0] == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 40_000))
    assert p.sum() == pytest.approx(1.0)
    # certain winners and certain losers
    far = fun.top_k_probability(np.array([9.0, 8.0, 0.0, -1.0]), np.full(4, 0.1), 2, draws=100, seed=1, step=1)
    assert far.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_run_order_takes_the_ends_first() -> None:
    order = fun.run_order([800.0, 1000.0, 1200.0, 1400.0], [0, 1], 2)
    assert [t for _, t, _ in order[:4]] == [1400.0, 800.0, 1200.0, 1000.0]
    assert [(c, r) for c, _, r in order[::4]] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert len(order) == len(set(order)) == 16


def test_an_estimate_from_nowhere_is_a_bug() -> None:
    with pytest.raises(BugError):
        fun.decide(fun.FunnelState(expected=1), [fun.Estimated("ghost", -1.0, 1.0)])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_results_keeps_the_invariants_and_ends(data: st.DataObject) -> None:
    names = [f"c{i}" for i in range(data.draw(st.integers(1, 7)))]
    runs = data.draw(st.integers(1, 5))
    told = fun.FunnelSettings(top_k=data.draw(st.integers(1, 4)), draws=100, budget=data.draw(st.none() | st.just(5.0)))
    state = fun.FunnelState(settings=told, expected=len(names))
    log: list[fun.Event] = []
    open_runs: list[str] = []
    given_runs: list[tuple[str, str]] = []
    pending: list[fun.Event] = [fun.Offered(n, offers(runs)) for n in names]
    for _ in range(400):
        if not pending and not open_runs:
            break
        if pending and (not open_runs or data.draw(st.booleans())):
            event = pending.pop(data.draw(st.integers(0, len(pending) - 1)))
        else:
            name = open_runs.pop(data.draw(st.integers(0, len(open_runs) - 1)))
            event = data.draw(
                st.sampled_from(
                    [
                        fun.Estimated(name, data.draw(st.floats(-20, 0)), data.draw(st.floats(0.05, 3))),
                        fun.Estimated(name, limit=-9.0),
                        fun.Estimated(name),
                        fun.Closed(name, "melted"),
                    ]
                )
            )
        log.append(event)
        state, actions = fun.decide(state, [event])
        fun.validate(state)
        for action in actions:
            if isinstance(action, fun.Submit):
                open_runs.append(action.candidate)
                given_runs.append((action.candidate, action.run))
    assert state.over in ("decided", "budget")
    assert len(set(given_runs)) == len(given_runs), "no run is given twice"
    replayed = fun.FunnelState(settings=told, expected=len(names))
    for event in log:
        replayed, _ = fun.decide(replayed, [event])
    assert replayed == state


def test_the_story_tells_what_happened() -> None:
    events = [
        {"kind": "finished", "candidate": "a", "stage": "simulate", "label": "a 800 K", "reason": "melted"},
        {"kind": "decision", "action": "stop", "candidate": "a", "why": "no chance", "numbers": {"probability": 0.001}},
        {"kind": "finished", "candidate": "b", "label": "b"},
    ]
    lines = fun.story(events, "a")
    assert len(lines) == 2
    assert "melted" in lines[0]
    assert "no chance" in lines[1]
    assert "0.001" in lines[1]
