"""The live page: the report of a running campaign on this machine, made anew when the folder has changed.

Only this machine is served (127.0.0.1), only two addresses exist (``/`` and ``/version``), nothing is written.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ionsieve.errors import IonsieveError, SetupError
from ionsieve.report.page import html
from ionsieve.report.source import CampaignResults, load_results
from ionsieve.report.view import build_view

__all__ = ["LivePage", "make_server"]

HOST = "127.0.0.1"


class LivePage:
    """The page of a folder and the version it shows; thread-safe."""

    def __init__(self, folder: Path, load: Callable[[Path], CampaignResults] = load_results) -> None:
        self.folder = folder
        self._load = load
        self._lock = threading.Lock()
        self._version = ""
        self._page = b""

    def version(self) -> str:
        """Return a token that changes whenever records or events are added."""
        digest = hashlib.sha256()
        events = self.folder / "events.jsonl"
        if events.exists():
            digest.update(str(events.stat().st_size).encode())
        records = self.folder / "records"
        for folder in sorted(p for p in records.glob("*/*") if p.is_dir()):
            digest.update(f"{folder.name} {folder.stat().st_mtime_ns}".encode())
        return digest.hexdigest()[:16]

    def page(self) -> bytes:
        """Return the page as it is now."""
        with self._lock:
            version = self.version()
            if version != self._version or not self._page:
                self._page = html(build_view(self._load(self.folder)), live=True).encode()
                self._version = version
            return self._page


def make_server(page: LivePage, port: int) -> ThreadingHTTPServer:
    """Return a server of the page on this machine; port 0 takes a free one. Call ``serve_forever``.

    Raises
    ------
    SetupError
        When the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
            if host not in (HOST, "localhost"):  # another site's page that was resolved to this machine
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"only for this machine\n")
            elif self.path == "/":
                try:
                    self._answer(HTTPStatus.OK, "text/html", page.page())
                except IonsieveError as error:
                    self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n".encode())
            elif self.path == "/version":
                self._answer(HTTPStatus.OK, "text/plain", page.version().encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is / and /version\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: the terminal belongs to the campaign."""

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise SetupError(
            "the page cannot be served here",
            key="--port",
            found=str(port),
            cause=str(error),
            remedy="choose another port, or 0 for a free one",
        ) from error
