"""Where a run is to work is looked at before anything is written, and no option is ignored."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from ionsieve.campaign import parse_campaign
from ionsieve.errors import IonsieveError, SetupError
from ionsieve.screening import clusters, run
from ionsieve.screening.places import check_place
from ionsieve.screening.pool import SerialPool
from ionsieve.screening.profiles import is_listening_place, load_profile

CAMPAIGN = "generate: {recipes: [{prototype: Na3OCl_Pm-3m}]}\npotential: {name: pair-ionic}\n"


@pytest.mark.parametrize("cluster", [None, "local"])
def test_no_workers_is_this_process_also_by_the_local_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str | None
) -> None:
    pools: list[Any] = []
    monkeypatch.setattr(run, "run_plan", lambda *_, pool, **__: pools.append(pool()))
    monkeypatch.setattr(clusters, "open_pool", lambda *_, **told: told["n_workers"])
    for n in (0, 3):
        run.run_campaign(parse_campaign(CAMPAIGN), tmp_path / f"r{n}", cluster=cluster, n_workers=n)
    assert isinstance(pools[0], SerialPool)
    assert pools[1] == 3


@pytest.mark.parametrize(("text", "good"), [
    ("127.0.0.1:0", True), (":8787", True), ("8787", True), ("[::1]:8787", True), ("gpu-1.site.org:65535", True),
    ("nonsense", False), ("0.0.0.0:99999", False), ("host:", False), ("", False), ("a b:1", False),
])  # fmt: skip
def test_where_a_dashboard_can_listen(tmp_path: Path, text: str, good: bool) -> None:
    assert is_listening_place(text) is good
    (tmp_path / "mine.yaml").write_text(f"kind: local\nscheduler: {{dashboard: '{text}'}}\n")
    if good:
        assert load_profile(tmp_path / "mine.yaml").scheduler.dashboard == text
        assert check_place(tmp_path, dashboard=text).kind == "local"
    else:
        with pytest.raises(IonsieveError, match=r"scheduler\.dashboard"):
            load_profile(tmp_path / "mine.yaml")


def test_a_scheduler_is_looked_for_where_it_should_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert check_place(tmp_path, scheduler=address).scheduler.address == address
    with pytest.raises(SetupError, match="nobody listens"):
        check_place(tmp_path, scheduler=address)


def test_the_first_rank_of_an_allocation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert check_place(tmp_path, cluster="slurm-allocation").kind == "srun"
