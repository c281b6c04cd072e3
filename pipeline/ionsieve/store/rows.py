"""Rows of the ledger made from the files: what `Store.rebuild` writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ionsieve.store.envelope import Stored
from ionsieve.store.ledger import Row, State

__all__ = ["COUNTED", "outcome_of", "replay", "row", "state_of"]

COUNTED = ("finished", "sliced", "lost", "released", "quarantined", "failed_attempt")
"""Kinds of events that say something about one request."""


def _nested(data: Mapping[str, Any], name: str) -> str:
    for place in (data, data.get("run"), data.get("candidate"), data.get("configuration")):
        if isinstance(place, Mapping) and isinstance(place.get(name), str):
            return str(place[name])
    return ""


def state_of(outcome: str) -> State:
    """Return the ledger's state for the outcome that a record states."""
    return {
        "": State.DONE,
        "completed": State.DONE,
        "sieved": State.SIEVED,
        "stopped_early": State.STOPPED,
    }.get(outcome, State.FAILED)


def outcome_of(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return outcome and reason that a record's JSON states (empty where it has none)."""
    inner = data.get("candidate")
    place = inner if isinstance(inner, Mapping) and "outcome" not in data else data
    return str(place.get("outcome", "")), str(place.get("reason", ""))


def row(stored: Stored, history: Mapping[str, Any], facts: Callable[[dict[str, Any]], Mapping[str, Any]] | None) -> Row:
    """Return the row of a stored record, with what the events tell of its making."""
    outcome, reason = outcome_of(stored.data)
    known = {
        k: v
        for k, v in history.items()
        if k in Row.__dataclass_fields__ and k not in ("state", "reason", "key", "stage")
    }
    summary = stored.data.get("summary")
    if isinstance(summary, Mapping):
        known.setdefault("steps", int(summary.get("steps") or 0))
        known.setdefault("ps", float(summary.get("length_ps") or 0.0))
    known.setdefault("candidate", _nested(stored.data, "candidate_id"))
    known.setdefault(
        "label", _nested(stored.data, "run_id") or _nested(stored.data, "configuration_id") or known["candidate"]
    )
    return Row(
        key=stored.request.key,
        stage=stored.request.stage,
        state=state_of(outcome),
        outcome=outcome,
        reason=reason,
        digest=stored.digest,
        facts=facts(stored.data) if facts else {},
        **known,
    )


def replay(history: dict[str, Any], event: Mapping[str, Any]) -> None:
    """Fold one event into what is known of a request."""
    for name in ("stage", "candidate", "label", "device", "worker"):
        if event.get(name):
            history[name] = event[name]
    history["seconds"] = history.get("seconds", 0.0) + float(event.get("seconds", 0.0))
    for name in ("steps", "ps"):
        if name in event:
            history[name] = event[name]
    kind = event["kind"]
    counter = {"finished": "attempts", "sliced": "slices", "lost": "deaths", "failed_attempt": "attempts"}.get(kind)
    if counter:
        history[counter] = history.get(counter, 0) + 1
    if kind == "quarantined":
        history["reason"] = str(event.get("reason", "died repeatedly"))
        history["outcome"] = "quarantined"
    elif kind in ("released", "finished"):
        history.pop("reason", None)
        history.pop("outcome", None)
