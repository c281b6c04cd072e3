"""The address of generated structures: by what the prototype is, not by where its files lie."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ionsieve.campaign import Campaign, load_campaign
from ionsieve.generate import expand
from ionsieve.resources import data_folder
from ionsieve.stages import generate
from ionsieve.store import Store

CAMPAIGNS = {
    "by path": "generate: {recipes: [{prototype: mine/Mine.yaml, supercell: {matrix: [2, 2, 2]}}]}",
    "in a grid": "generate: {recipes: [{grid: {prototypes: [mine/Mine.yaml], sites: [Cl], dopants: [Br], levels: 0.25, "
    "include_undoped: false}}]}",
    "by name": "generate: {recipes: [{prototype: Mine, supercell: {matrix: [2, 2, 2]}}], library: [mine]}",
}


def campaign_in(folder: Path, text: str) -> Campaign:
    (folder / "mine").mkdir(parents=True)
    for suffix in (".yaml", ".cif"):
        shutil.copy(data_folder("structures") / f"Na3OCl_Pm-3m{suffix}", folder / "mine" / f"Mine{suffix}")
    (folder / "c.yaml").write_text(f"name: test\nseed: 1\n{text}\n")
    return load_campaign(folder / "c.yaml")


@pytest.mark.parametrize("how", list(CAMPAIGNS))
def test_a_moved_campaign_keeps_its_addresses(tmp_path: Path, how: str) -> None:
    requests, moved = [], None
    for place in ("here", "there/and/back"):
        moved = campaign_in(tmp_path / place, CAMPAIGNS[how])
        (candidate,) = expand(moved.generate)
        requests.append(generate.request(candidate, moved))
    assert requests[0].key == requests[1].key
    assert str(tmp_path) not in requests[0].text
    assert moved is not None
    shutil.rmtree(tmp_path / "here")
    store: Any = SimpleNamespace(campaign=moved.model_dump(mode="json", by_alias=True))
    record = generate.run(requests[0], cast(Store, store))
    assert record.configurations


def test_another_content_has_another_address(tmp_path: Path) -> None:
    keys = []
    for place in ("here", "there"):
        campaign = campaign_in(tmp_path / place, CAMPAIGNS["by name"])
        if place == "there":
            file = tmp_path / place / "mine" / "Mine.yaml"
            file.write_text(file.read_text() + "# changed\n")
        (candidate,) = expand(campaign.generate)
        keys.append(generate.request(candidate, campaign).key)
    assert keys[0] != keys[1]
