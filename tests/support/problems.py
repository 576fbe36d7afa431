"""Answers of the HTTP API that are problems (RFC 9457)."""


def check_problem(status: int, headers: dict, body: dict, code: str) -> dict:
    """Return the body, after the check that it is a complete RFC 9457 document with this code."""
    assert headers["Content-Type"].startswith("application/problem+json")
    assert body["type"] == f"urn:airnode:problem:{code}"
    assert (body["code"], body["status"]) == (code, status)
    for member in ("title", "detail", "instance"):
        assert body[member], member
    assert headers["Cache-Control"] == "no-store"
    return body
