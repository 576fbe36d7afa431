"""Checks that the answers of a node match its OpenAPI document."""

import re
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

#: Answers of the web framework itself, for paths and methods without an operation.
_UNROUTED = {404, 405}


class Contract:
    """The OpenAPI document of a node, against which answers are checked."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._registry = Registry().with_resource("urn:api", Resource(document, DRAFT202012))
        self._patterns = [
            (re.compile("^" + re.sub(r"{\w+}", "[^/]+", path) + "$"), item) for path, item in document["paths"].items()
        ]

    @classmethod
    async def of(cls, api_url: str, session: aiohttp.ClientSession) -> "Contract":
        async with session.get(f"{api_url}/openapi.json") as response:
            assert response.status == 200
            return cls(await response.json())

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, item in self._patterns:
            if pattern.match(path) and method.lower() in item:
                found: dict[str, Any] = item[method.lower()]
                return found
        return None

    def check(self, method: str, path: str, status: int, media_type: str, body: object) -> None:
        """Fail unless the status, the media type and the structure of the body are documented."""
        operation = self.operation(method, path)
        if operation is None:
            assert status in _UNROUTED, f"{method} {path} is not documented but answers {status}"
            return
        responses = operation["responses"]
        assert str(status) in responses, f"{method} {path} answers {status}; documented: {sorted(responses)}"
        content = responses[str(status)].get("content", {})
        if status == 204:
            assert body is None, f"{method} {path} answers 204 with a body"
            return
        assert media_type in content, f"{method} {path} answers {status} as {media_type}; documented: {list(content)}"
        if schema := content[media_type].get("schema"):
            resolved = {"$ref": "urn:api" + schema["$ref"]} if "$ref" in schema else schema
            Draft202012Validator(resolved, registry=self._registry).validate(body)
