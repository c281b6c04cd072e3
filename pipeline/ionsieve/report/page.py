"""The page: one HTML file with everything inside, which asks no host for anything."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from ionsieve.report.kit import render
from ionsieve.report.sections import ORDER
from ionsieve.report.source import CampaignResults
from ionsieve.report.view import ReportView, build_view

__all__ = ["POLICY", "asset", "html", "write_report"]

#: No script, style, image or connection from anywhere but the file itself.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src {connect}; base-uri 'none'; form-action 'none'"
)


def asset(name: str) -> Markup:
    """Return one of the files that are written into a page."""
    return Markup((files("ionsieve.report") / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704  our own files


def html(view: ReportView, *, live: bool = False) -> str:
    """Return the page. `live` makes it reload itself from the server that serves it (`ionsieve serve`)."""
    return str(
        render(
            "page.html.j2",
            view=view,
            sections=[section.render(view) for section in ORDER],
            css=asset("report.css"),
            scripts=[asset("report.js"), asset("viewer.js")],
            live=live,
            policy=POLICY.format(connect="'self'" if live else "'none'"),
        )
    )


def write_report(results: CampaignResults, path: str | Path) -> Path:
    """Write the page of a campaign's results; the file appears whole or not at all. Returns its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = html(build_view(results))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target
