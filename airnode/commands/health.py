"""``airnode health``: requests /health of a node, with the standard library only, so that it starts quickly."""

import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airnode.errors import StartupError
from airnode.kernel.connection_errors import connection_failure
from airnode.runtime import endpoints

DEFAULT_URL = "http://localhost:8000"
_NOT_READY = "no node is ready with this data directory; give another --data-dir, or the address of a node"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The answer of a node; ``status`` is ``unreachable`` if no answer came."""

    ok: bool
    url: str
    status: str
    body: dict[str, Any]

    def json(self) -> str:
        """Return the report as JSON."""
        return json.dumps({"ok": self.ok, "url": self.url, "status": self.status, **self.body}, indent=2)

    def text(self) -> str:
        """Return the report as lines of text."""
        lines = [f"{self.url}: {self.status}"]
        for name, check in self.body.get("checks", {}).items():
            mark = "ok " if check["ok"] else "BAD"
            lines.append(f"  {mark} {name} {check['duration_ms']:g} ms {check.get('detail') or ''}".rstrip())
            lines += [f"        {role}: {text}" for role, text in (check.get("meanwhile") or {}).items()]
        if detail := self.body.get("detail"):
            lines.append(f"  {detail}")
        return "\n".join(lines)


def check_local(data_dir: Path, *, ready: bool, timeout_s: float) -> HealthReport:
    """Return the health of the node of this machine with this ``data_dir``; unreachable until it is ready."""
    try:
        url = endpoints.read(data_dir).get("health_url")
    except StartupError as error:
        return HealthReport(False, str(data_dir), "unreachable", {"detail": str(error)})
    if not url:
        return HealthReport(False, str(data_dir), "unreachable", {"detail": _NOT_READY})
    # Its certificate is for the host that viewers use, not for localhost; only this node listens on this port.
    return check_url(str(url), ready=ready, timeout_s=timeout_s, verify=False)


def check_default(url: str = DEFAULT_URL, *, ready: bool, timeout_s: float) -> HealthReport:
    """Return the health of the node at the default address. Without an answer, explain how to give another address."""
    report = check_url(url, ready=ready, timeout_s=timeout_s)
    if report.status == "unreachable":
        report.body["detail"] += " Give the address of a node, or --data-dir."
    return report


def check_url(url: str, *, ready: bool, timeout_s: float, verify: bool = True) -> HealthReport:
    """Return ``/health`` (or ``/health/readiness``) of the node at ``url``. Errors of the node do not raise.

    Args:
        verify: whether an https address must have a certificate that this machine trusts.
    """
    if "://" not in url:
        url = f"http://{url}"
    parts = urllib.parse.urlsplit(url)
    path = "/health/readiness" if ready else "/health"
    try:
        connection = _connection(parts, timeout_s, verify=verify)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read(1 << 20).decode(errors="replace")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return HealthReport(False, url, "unreachable", {"detail": connection_failure(url, error, "node")})
    if ready:
        return HealthReport(response.status == 200, url, content.strip() or str(response.status), {})
    try:
        body = json.loads(content)
        return HealthReport(response.status == 200, url, str(body["status"]), body)
    except (ValueError, KeyError, TypeError):
        return HealthReport(
            False, url, "no airnode", {"detail": f"The answer ({response.status}) is not from an airnode."}
        )


def _connection(parts: urllib.parse.SplitResult, timeout_s: float, *, verify: bool) -> http.client.HTTPConnection:
    host = parts.hostname or "localhost"
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    context = ssl.create_default_context() if verify else ssl._create_unverified_context()  # noqa: S323 - see check_local
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
