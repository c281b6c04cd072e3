"""The YAML of the guide works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ionsieve.generate import GenerateSettings, expand, prototypes
from ionsieve.generate.validation import REQUIRED
from ionsieve.verdicts import Outcome

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "generate.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def read(text: str):
    return YAML(typ="safe").load(text)


def test_the_recipes_of_the_guide() -> None:
    settings = GenerateSettings.model_validate(read(BLOCKS[0])["generate"])
    found = expand(settings)
    assert len(found) > 20
    done = [c for c in found if c.outcome is Outcome.COMPLETED]
    assert len(done) > 0.7 * len(found)
    assert {"Na3.4Sc0.4Zr1.6Si2PO12", "Na3PS4"} & {c.target_formula for c in found}


@pytest.mark.parametrize("line", [x for x in BLOCKS[1].splitlines() if x.strip()])
def test_the_compensations_of_the_guide(line: str) -> None:
    GenerateSettings.model_validate({"recipes": ["Na3PS4"], **read(line)})


def test_the_prototype_of_the_guide(tmp_path: Path) -> None:
    data = read(BLOCKS[2])
    assert set(REQUIRED) <= set(data)
    (tmp_path / "Foo.yaml").write_text(BLOCKS[2])
    shipped = Path(prototypes.load("Na3PS4_I-43m").location).with_suffix(".cif")
    (tmp_path / "Foo.cif").write_bytes(shipped.read_bytes())
    assert prototypes.validate(tmp_path / "Foo.yaml") == []
    p = prototypes.load(tmp_path / "Foo.yaml")
    assert p.site("Na2").interstitial
    assert p.exclusions_A["Na1", "Na2"] == 2.4
    settings = GenerateSettings.model_validate(
        {"recipes": [{"prototype": str(tmp_path / "Foo.yaml"), "substitute": {"P": {"Si": 0.125}}}]}
    )
    (c,) = expand(settings)
    assert c.outcome is Outcome.COMPLETED
