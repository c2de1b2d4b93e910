"""ClickHouse as a process of its own: chDB behind ClickHouse's HTTP interface.

::

    workers, test ──HTTP──▶ this process ──▶ chDB folder
                                             (a connection of its own for each request, so no setting outlives it)

chDB admits one process to a folder. With this, several workers share one ClickHouse, a proxy can stand before it,
and it can be killed by itself. It speaks what clickhouse-connect says: statements in the body or in ``query``,
settings and ``param_*`` in the query string, errors with ``X-ClickHouse-Exception-Code``.
"""

from __future__ import annotations

import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

OF_THE_TRANSPORT = frozenset(
    {
        "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id",
        "quota_key", "compress", "decompress", "wait_end_of_query", "buffer_size", "client_protocol_version", "role",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms", "enable_http_compression",
    }
)  # fmt: skip
INSERT = re.compile(rb"\s*(INSERT INTO [^\n]*?) FORMAT (\w+)[ \t]*(?:\n|$)", re.IGNORECASE)
FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
CODE = re.compile(r"Code: (\d+)")


def quoted(text: str) -> str:
    """Return a string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Failed(Exception):
    """ClickHouse refuses the statement. ``code`` is its error code."""

    def __init__(self, message: str) -> None:
        super().__init__(message[max(message.find("Code: "), 0) :])
        found = CODE.search(message)
        self.code = found[1] if found else "1001"


class Session:
    """One connection for one request."""

    def __init__(self, folder: str, parameters: dict[str, str]) -> None:
        self._connection = chdb.connect(folder)
        self._bound = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in OF_THE_TRANSPORT and not name.startswith("param_")
        }
        if "database" in parameters:
            self.run(f"USE `{parameters['database']}`")
        if settings:
            self.run("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))

    def run(self, sql: str | bytes, form: str = "TabSeparated") -> bytes:
        """Run one statement and return what it answers. Raises `Failed`."""
        try:
            return bytes(self._connection.query(sql, form, params=self._bound).bytes() or b"")
        except Exception as error:
            raise Failed(str(error)) from error

    def answer(self, statement: bytes, data: bytes) -> tuple[str, bytes]:
        """Return the format and the body of a statement's answer; the format is empty when it has none."""
        insert = INSERT.match(statement)
        if insert:
            with tempfile.NamedTemporaryFile(suffix=".block") as file:
                file.write(statement[insert.end() :] + data)
                file.flush()
                into, form = insert[1].decode(), insert[2].decode()
                self.run(f"{into} FROM INFILE {quoted(file.name)} FORMAT {form}")
            return "", b""
        form_of_it = FORMAT.search(statement)
        if form_of_it:
            return form_of_it[1].decode(), self.run(statement)
        named = self.run(statement + b"\n" + data, "TabSeparatedWithNames")  # only a result has a line of names
        return ("TabSeparated", named.partition(b"\n")[2]) if named else ("", b"")

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


class Interface(BaseHTTPRequestHandler):
    """ClickHouse's HTTP interface, as far as clickhouse-connect uses it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: str

    def do_GET(self) -> None:
        """Answer ``/ping`` and statements in the query string."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a statement with or without data."""
        self._answer(self._body())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, body: bytes) -> None:
        address = urlsplit(self.path)
        parameters = dict(parse_qsl(address.query, keep_blank_values=True))
        if address.path == "/ping":
            return self._reply(200, b"Ok.\n")
        statement, data = (parameters["query"].encode(), body) if "query" in parameters else (body, b"")
        try:
            session = Session(self.folder, parameters)
            try:
                form, answer = session.answer(statement, data)
            finally:
                session.close()
        except Failed as error:
            return self._reply(500, str(error).encode(), {"X-ClickHouse-Exception-Code": error.code})
        return self._reply(200, answer, {"X-ClickHouse-Format": form} if form else {})

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing of single requests."""


class Server(ThreadingHTTPServer):
    """A listener whose queue takes all connections that come at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away before their answer: that is what the tests are about."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main(folder: str, port: int) -> None:
    """Serve until killed; the port is said on standard output."""
    keep_open = chdb.connect(folder)  # the engine ends with its last connection
    Interface.folder = folder
    server = Server(("127.0.0.1", port), Interface)
    print(f'{{"port": {server.server_port}}}', flush=True)  # noqa: T201  # how it reports to the test
    server.serve_forever()
    keep_open.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
