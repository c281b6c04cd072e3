"""What planning needs to know of a record: a few numbers of its JSON, small enough to travel and to stay in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ionsieve.verdicts import BROKEN

__all__ = ["FAILED", "facts"]

FAILED = "failed"


def facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of one record.

    Parameters
    ----------
    data
        A record's JSON with its header.

    Returns
    -------
    dict
        ``ok`` (whether the branch goes on) and, by record: ``configurations`` (id and ``ok`` of each) of a generated
        candidate; ``mean`` and ``std`` of ln sigma, ``limit`` (ln of an upper limit) of an estimate; ``steps`` and
        ``ps`` of a run.
    """
    kind = data.get("record", "")
    reader = _READERS.get(str(kind))
    return reader(data) if reader is not None else {"ok": _ok(data)}


def _ok(data: Mapping[str, Any]) -> bool:
    return data.get("outcome", "completed") in ("completed", "stopped_early")


def _generated(data: Mapping[str, Any]) -> dict[str, Any]:
    ok = _ok(data["candidate"])
    found = [[c["configuration_id"], _ok(c)] for c in data["configurations"]] if ok else []
    return {"ok": ok and any(good for _, good in found), "configurations": found}


def _run(data: Mapping[str, Any]) -> dict[str, Any]:
    summary = data.get("summary") or {}
    broken = data.get("outcome") in BROKEN  # goes on: the fit lists the temperature and leaves it out
    return {
        "ok": broken or (_ok(data) and data.get("trajectory") is not None),
        "steps": int(summary.get("steps") or 0),
        "ps": float(summary.get("length_ps") or 0.0),
    }


def _estimate(data: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"ok": _ok(data)}
    if data.get("ln_sigma_mean") is not None and data.get("ln_sigma_std") is not None:
        out |= {"mean": float(data["ln_sigma_mean"]), "std": float(data["ln_sigma_std"])}
    else:
        import math

        conductivity = data.get("conductivity") or {}
        if conductivity.get("kind") == "upper_limit" and (conductivity.get("value") or 0) > 0:
            out["limit"] = math.log(float(conductivity["value"]))
    return out


_READERS = {"GeneratedCandidate": _generated, "RunRecord": _run, "CandidateEstimate": _estimate}
