"""Credentials on a request."""

import hmac

from aiohttp import web


def credential(request: web.Request) -> str:
    """The token or secret of a request: ``Authorization: Bearer``, else ``?jwt=``; empty without one."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.query.get("jwt", "")


def same_secret(given: str, expected: str) -> bool:
    """Compare without telling by time how much was right; an empty expectation matches nothing."""
    # What is no UTF-8 in a header comes as surrogates, which encode() alone refuses.
    raw = given.encode(errors="surrogatepass")
    return bool(expected) and hmac.compare_digest(raw, expected.encode())
