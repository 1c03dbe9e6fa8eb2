"""A stand-in for the W&B server on the loopback interface: enough of the wire protocol for wandb 0.31.

It answers the client's GraphQL calls and uploads and keeps what it saw. It is no model of the user interface;
check it again at each new version of wandb.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Stub:
    """What arrived so far."""

    url: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Variables of each run's registration: groupName, jobType, tags, displayName, config, …"""
    history: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """Every run's history: run id to line number to row. A line sent again replaces the old one."""
    headers: list[str] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Stub]:
    """A stub on a free port of 127.0.0.1."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.stub = Stub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    stub: Stub

    def handle_error(self, *arguments: Any) -> None:
        """Clients that are killed on purpose break their connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def stub(self) -> Stub:
        assert isinstance(self.server, _Server)
        return self.server.stub

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self._reply({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/graphql"):
            request = json.loads(body)
            self._reply({"data": self._answer(request["query"], request.get("variables") or {})})
            return
        if self.path.endswith("/file_stream"):
            sent = (json.loads(body).get("files") or {}).get("wandb-history.jsonl", {"content": []})
            history = self.stub.history.setdefault(self.path.split("/")[-2], {})
            for number, line in enumerate(sent["content"], sent.get("offset", 0)):
                history[number] = json.loads(line)
        self._reply({"exitcode": None, "limits": {}})

    def _answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": _id("User:1"), "entity": "me", "flags": "{}", "username": "me", "email": "a@b.c"}
        info: dict[str, Any] = {
            "cliVersionInfo": {"max_cli_version": "9.9.9"},
            "latestLocalVersionInfo": None,
            "features": [],
        }
        if "upsertBucket" in query:
            self.stub.runs.append(variables)
            project = {
                "id": _id("Project:1"),
                "name": "overopt",
                "entity": {"id": _id("Entity:1"), "name": "me"},
            }
            bucket = {
                "id": _id("Bucket:1"),
                "name": variables.get("name"),
                "config": "{}",
                "project": project,
            }
            nothing = dict.fromkeys(("displayName", "description", "sweepName", "wandbConfig"))
            return {"upsertBucket": {"bucket": nothing | bucket | {"historyLineCount": 0}, "inserted": True}}
        if "RunResumeStatus" in query:
            return {"model": self._resumed(variables["name"])}
        if "createRunFiles" in query:
            files = [{"name": f, "uploadUrl": f"{self.stub.url}/put/{f}"} for f in variables.get("files", [])]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if re.search(r"\bcreateArtifact\(", query):
            sequence = {"id": "s", "latestArtifact": {"id": _id("Artifact:1"), "versionIndex": 0}}
            artifact = {"id": _id("Artifact:1"), "state": "COMMITTED", "artifactSequence": sequence}
            return {"createArtifact": {"artifact": artifact}}
        return {"viewer": viewer | {"teams": {"edges": []}}, "serverInfo": info, "project": None}

    def _resumed(self, run_id: str) -> dict[str, Any] | None:
        """Where a run stands that the server already has."""
        history = self.stub.history.get(run_id)
        if not history:
            return None
        tail = json.dumps([json.dumps(history[max(history)])])
        bucket: dict[str, Any] = dict.fromkeys(("displayName", "notes"))
        bucket |= {"name": run_id, "tags": [], "config": "{}", "summaryMetrics": "{}", "eventsTail": "[]"}
        bucket |= {"logLineCount": 0, "eventsLineCount": 0, "historyLineCount": len(history)}
        bucket |= {"historyTail": tail, "wandbConfig": '{"t": 1}'}
        return {"name": "overopt", "entity": {"name": "me"}, "bucket": bucket}

    def _body(self) -> bytes:
        self.stub.headers.append(str(self.headers))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


def _id(name: str) -> str:
    return base64.b64encode(name.encode()).decode()
