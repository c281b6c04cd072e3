"""Hooks of mkdocs: navigation from the folders, an API page a room from its docstrings, formulas as MathML."""

from __future__ import annotations

import ast
import html
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "pipeline" / "ionsieve"

#: pages that come first in their folder, in this order; the others follow by name
FIRST = {
    "guide": ("getting-started", "campaign", "generate", "choosing-a-potential", "potentials", "clusters"),
    "tutorials": ("transport", "channels", "campaign"),
    "theory": (),
    "reference": ("quantities", "flags"),
    "decisions": (),
}
TITLES = {
    "guide": "Guide",
    "tutorials": "Tutorials",
    "theory": "Theory",
    "reference": "Reference",
    "decisions": "Decisions",
}
#: rooms with an API page: a stranger's libraries first, then what the rooms are built of
ROOMS = (
    "transport",
    "channels",
    "trajectory",
    "potentials",
    "dynamics",
    "generate",
    "distill",
    "ranking",
    "records",
    "geometry",
    "systems",
    "store",
    "stages",
    "screening",
    "report",
    "campaign",
    "quantities",
    "verdicts",
    "errors",
    "rng",
)


def pages(folder: str) -> list[str]:
    """Return the pages of a folder as mkdocs names them."""
    found = {path.stem: f"{folder}/{path.name}" for path in sorted((DOCS / folder).glob("*.md"))}
    order = [name for name in FIRST[folder] if name in found]
    return [found[name] for name in [*order, *(name for name in found if name not in order)]]


def public_names(init: Path) -> dict[str, str]:
    """Return the re-exported names of a room with the module each comes from, as its ``__init__`` imports them."""
    tree = ast.parse(init.read_text(encoding="utf-8"))
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ionsieve."):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return dict(sorted((name, home) for name, home in names.items() if not name.startswith("_") and _defined(home)))


def _defined(home: str) -> bool:
    """Whether the module of a dotted name is there."""
    module = PACKAGE.parent.joinpath(*home.split(".")[:-1])
    return module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()


def api_page(room: str) -> str | None:
    """Return the Markdown of a room's page, or None when the room is not there."""
    module, package = PACKAGE / f"{room}.py", PACKAGE / room / "__init__.py"
    if module.is_file():
        return f"# ionsieve.{room}\n\n::: ionsieve.{room}\n    options: {{show_root_heading: false}}\n"
    if not package.is_file():
        return None
    summary = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    lines = [f"# ionsieve.{room}", "", summary.split("\n>>>")[0], ""]
    for home in public_names(package).values():
        lines += [f"::: {home}", ""]
    return "\n".join(lines)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation."""
    nav: list[Any] = [{"Start": "index.md"}]
    for folder in ("guide", "tutorials", "theory"):
        if found := pages(folder):
            nav.append({TITLES[folder]: found})
    trust = [name for name in ("validation.md", "benchmarks.md") if (DOCS / name).is_file()]
    if trust:
        nav.append({"Trust": trust})
    api = [{room: f"reference/api/{room}.md"} for room in ROOMS if api_page(room)]
    made = [{"Commands": "reference/cli.md"}, {"Keys of a campaign": "reference/campaign.md"}]
    nav.append({TITLES["reference"]: [*made, *pages("reference"), {"API": api}]})
    placed = {"index.md", "architecture.md", *trust}
    others = sorted(path.name for path in DOCS.glob("*.md") if path.name not in placed)
    nav.append({"Inside": ["architecture.md", *others, {TITLES["decisions"]: pages("decisions")}]})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that exist nowhere on disk: API, commands, keys of a campaign."""
    sys.path.insert(0, str(Path(__file__).parent))
    from reference_pages import campaign_page, cli_page

    files.append(File.generated(config, "reference/cli.md", content=cli_page()))
    files.append(File.generated(config, "reference/campaign.md", content=campaign_page()))
    for room in ROOMS:
        if text := api_page(room):
            files.append(File.generated(config, f"reference/api/{room}.md", content=text))
    return files


#: what pymdownx.arithmatex leaves of a formula
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.+?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set formulas as MathML, so that they are shown without a network and without a script."""

    def mathml(found: re.Match[str]) -> str:
        return convert(html.unescape(found.group(3)), display="block" if found.group(2) == "[" else "inline")

    return FORMULA.sub(mathml, text)
