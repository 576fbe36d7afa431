"""``airnode health``: asks a node over HTTP with nothing but the standard library, so that it starts quickly."""

import http.client
import json
import urllib.parse
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said; ``status`` is ``unreachable`` when it said nothing."""

    ok: bool
    url: str
    status: str
    body: dict[str, Any]

    def json(self) -> str:
        """As JSON."""
        return json.dumps({"ok": self.ok, "url": self.url, "status": self.status, **self.body}, indent=2)

    def text(self) -> str:
        """A few lines for people."""
        lines = [f"{self.url}: {self.status}"]
        for name, check in self.body.get("checks", {}).items():
            mark = "ok " if check["ok"] else "BAD"
            lines.append(f"  {mark} {name} {check['duration_ms']:g} ms {check.get('detail') or ''}".rstrip())
        if detail := self.body.get("detail"):
            lines.append(f"  {detail}")
        return "\n".join(lines)


def ask(url: str, *, ready: bool, timeout_s: float) -> Answer:
    """Ask ``/health`` (or ``/health/readiness``) of the node at ``url``. Never raises for what the node does."""
    if "://" not in url:
        url = f"http://{url}"
    parts = urllib.parse.urlsplit(url)
    path = "/health/readiness" if ready else "/health"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "localhost", parts.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read(1 << 20).decode(errors="replace")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(False, url, "unreachable", {"detail": str(error) or type(error).__name__})
    if ready:
        return Answer(response.status == 200, url, content.strip() or str(response.status), {})
    try:
        body = json.loads(content)
        return Answer(response.status == 200, url, str(body["status"]), body)
    except (ValueError, KeyError, TypeError):
        return Answer(False, url, "no airnode", {"detail": f"The answer ({response.status}) is not from an airnode."})
