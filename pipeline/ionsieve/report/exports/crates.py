"""Archives: an RO-Crate of everything, and an ``.eln`` file that laboratory notebooks import.

RO-Crate 1.1 (w3id.org/ro/crate/1.1): a folder with ``ro-crate-metadata.json``. The ``.eln`` format of the consortium
is one such folder inside a ZIP, with one Dataset an experiment; eLabFTW, Kadi4Mat and others import it.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ionsieve import __version__
from ionsieve.errors import InputError
from ionsieve.report.exports import structures, tables
from ionsieve.report.exports.select import Chosen, stem
from ionsieve.report.kit import render
from ionsieve.report.page import write_report
from ionsieve.report.source import CampaignResults
from ionsieve.store.folder import write_file

__all__ = ["write_crate", "write_eln"]

_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_TYPES = {
    ".cif": "chemical/x-cif",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".sqlite": "application/vnd.sqlite3",
}
_LICENCE = {
    "@id": "#licence",
    "@type": "CreativeWork",
    "name": "No licence chosen",
    "description": "The owner of the campaign has not chosen a licence; ask before you reuse.",
}


@dataclass
class _Crate:
    """Entities of a crate in the order in which they are added; `root` is the folder on disk."""

    root: Path
    when: str
    graph: list[dict[str, Any]] = field(default_factory=list)

    def file(self, path: Path, description: str) -> dict[str, str]:
        """Describe a file of the crate and return the reference to it."""
        content = path.read_bytes()
        name = f"./{quote(path.relative_to(self.root).as_posix())}"
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.graph.append(
            {
                "@id": name,
                "@type": "File",
                "name": path.name,
                "description": description,
                "encodingFormat": kind,
                "contentSize": str(len(content)),
                "sha256": hashlib.sha256(content).hexdigest(),
                "dateModified": self.when,
            }
        )
        return {"@id": name}

    def write(self, root: dict[str, Any]) -> None:
        """Write the metadata file."""
        descriptor = {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "dateCreated": self.when,
            "version": "1.0",
            "sdPublisher": {"@id": "#ionsieve"},
        }
        software = {
            "@id": "#ionsieve",
            "@type": "Organization",
            "name": "ionsieve",
            "description": f"written by the program ionsieve {__version__}",
        }
        graph = [descriptor, {"@id": "./", "@type": "Dataset", **root}, *self.graph, software, _LICENCE]
        text = json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False)
        write_file(self.root / "ro-crate-metadata.json", text + "\n")


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def _root(results: CampaignResults, when: str, parts: list[dict[str, str]]) -> dict[str, Any]:
    description = str(results.campaign.get("description") or "") or "Screening of solid electrolytes"
    return {
        "name": f"ionsieve campaign {results.name}",
        "description": f"{description}. {results.ranking.trust}".strip(),
        "datePublished": when,
        "license": {"@id": "#licence"},
        "author": {"@id": "#ionsieve"},
        "publisher": {"@id": "#ionsieve"},
        "hasPart": parts,
    }


def _only_ours(path: Path) -> bool:
    """Whether the folder is a crate of this program and holds nothing but what that crate lists."""
    try:
        graph = json.loads((path / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
        told = {str(entity["@id"]): entity for entity in graph}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    ours = told.get("ro-crate-metadata.json", {}).get("sdPublisher") == {"@id": "#ionsieve"} and "#ionsieve" in told
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
    return ours and files <= {unquote(name).removeprefix("./") for name in told}


def write_crate(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write the report, the tables, the records and the structures as a crate into the folder `path`.

    An earlier crate of ours is replaced when the new one is whole, and stays when it cannot be written.

    Raises
    ------
    InputError
        When the folder holds something that is no crate of ours.
    """
    given, path = path, path.resolve()
    if path.exists() and (not path.is_dir() or any(path.iterdir())) and not _only_ours(path):
        raise InputError(
            "there are files here that this program did not write", where=str(path),
            expected="an empty folder, or an earlier crate of ionsieve with nothing added to it",
            remedy="name another folder with --out",
        )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".crate-") as scratch:
        made = Path(scratch) / "new"
        made.mkdir()
        _fill(results, chosen, made)
        old = path.rename(Path(scratch) / "old") if path.exists() else None
        try:
            made.rename(path)
        except OSError:
            if old is not None:
                old.rename(path)
            raise
    return [given]


def _fill(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> None:
    crate = _Crate(path, _now())
    parts = [
        crate.file(write_report(results, path / "report.html"), "the report, for a browser"),
        crate.file(tables.write_csv(results, chosen, path / "ranking.csv")[0], "the ranking, one row a candidate"),
    ]
    data, schema = tables.write_json(results, chosen, path / "results.json")
    parts += [crate.file(data, "all records"), crate.file(schema, "JSON schema of results.json")]
    if any(one.structure is not None for one in chosen):
        for file in structures.write_cif(results, chosen, path / "structures"):
            parts.append(crate.file(file, "structure of a candidate"))
    crate.write(_root(results, crate.when, parts))


def write_eln(results: CampaignResults, chosen: Sequence[Chosen], path: Path) -> list[Path]:
    """Write one ``.eln`` archive: an entry a candidate with synthesis sheet, weighing list and structure."""
    from ionsieve.report.sheet import SheetSettings, sheet_view
    from ionsieve.report.sheet.writing import sheet_csv, sheet_html

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".eln-") as scratch:
        root = Path(scratch) / path.stem
        root.mkdir()
        crate = _Crate(root, _now())
        parts = []
        for one in chosen:
            folder = root / stem(one)
            folder.mkdir()
            files = []
            text = ""
            try:
                view = sheet_view(results, one, SheetSettings())
            except InputError as error:  # said in the entry: a candidate without a batch is still an experiment to plan
                text = str(render("eln.html.j2", row=one.row, batch=None, trouble=str(error), ranking=results.ranking))
            else:
                sheet, weighing = folder / "synthesis-sheet.html", folder / "weighing.csv"
                write_file(sheet, sheet_html(view))
                write_file(weighing, sheet_csv(view))
                files += [crate.file(sheet, "synthesis sheet to print"), crate.file(weighing, "masses to weigh")]
                text = str(render("eln.html.j2", row=one.row, batch=view.batch, trouble="", ranking=results.ranking))
            if one.structure is not None:
                cif = structures.write_cif(results, [one], folder)[0]
                files.append(crate.file(cif, "structure of the candidate"))
            name = f"./{quote(folder.name)}/"
            crate.graph.append(
                {
                    "@id": name,
                    "@type": "Dataset",
                    "name": f"Synthesis of {one.row.formula}",
                    "description": f"Candidate {one.candidate.candidate_id} of ionsieve campaign {results.name}",
                    "identifier": one.candidate.candidate_id,
                    "author": {"@id": "#ionsieve"},
                    "dateCreated": crate.when,
                    "dateModified": crate.when,
                    "encodingFormat": "text/html",
                    "keywords": f"solid electrolyte,{one.row.family},{one.row.mobile_ion},ionsieve",
                    "text": text,
                    "hasPart": files,
                }
            )
            parts.append({"@id": name})
        crate.write(_root(results, crate.when, parts))
        fresh = Path(scratch) / "archive.zip"
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(root.rglob("*")):
                if file.is_file():
                    archive.write(file, f"{root.name}/{file.relative_to(root).as_posix()}")
        fresh.replace(path)
    return [path]
