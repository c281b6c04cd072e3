"""The reference pages are true of the code, and no word is unused."""

import importlib.util
from pathlib import Path

import pytest

import ionsieve
from ionsieve.verdicts import Flag, Outcome, Verdict

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("generate_pages", ROOT / "docs" / "generate_pages.py")
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


@pytest.mark.parametrize("name", list(pages.PAGES))
def test_page_is_current(name):
    made = pages.PAGES[name]()
    assert (pages.HERE / name).read_text(encoding="utf-8") == made, "run: python docs/generate_pages.py"


@pytest.mark.parametrize("kind", [Outcome, Flag, Verdict])
def test_every_word_is_used(kind):
    package = Path(ionsieve.__file__).parent
    text = "".join(p.read_text(encoding="utf-8") for p in package.rglob("*.py") if p.name != "verdicts.py")
    unused = [m.name for m in kind if f"{kind.__name__}.{m.name}" not in text]
    assert not unused, f"{kind.__name__} members that nothing sets: {unused}"
