"""The schemas of docs/chat-events.md, against which the test client checks everything that it sends and gets."""

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCUMENT = Path(__file__).parents[2] / "docs/chat-events.md"
_SECTION = re.compile(r"^### (\w+) \((client|server)\)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


class ChatContract:
    """The validators of all events, {(sender, event): (arguments, acknowledgement)}.

    Attributes:
        seen: the (sender, event) that were checked so far.
    """

    def __init__(self) -> None:
        text = DOCUMENT.read_text(encoding="utf-8")
        self._defs: dict[str, Any] = json.loads(_BLOCK.findall(text)[-1])
        self.validators = {
            (sender, name): [self._validator(json.loads(block)) for block in _BLOCK.findall(body)]
            for name, sender, body in _SECTION.findall(text)
        }
        self.seen: set[tuple[str, str]] = set()
        self._error = self._validator({"$ref": "#/$defs/ErrorFields"})

    def check_event(self, name: str, args: list[Any]) -> None:
        """Check an event of the server."""
        self.seen.add(("server", name))
        self.validators["server", name][0].validate(args)

    def check_request(self, name: str, args: list[Any], answer: dict[str, Any]) -> None:
        """Check an event that the server accepted, and its acknowledgement."""
        self.seen.add(("client", name))
        arguments, ack = self.validators["client", name]
        arguments.validate(args)
        ack.validate(answer)

    def check_error(self, error: dict[str, Any]) -> None:
        self._error.validate(error)

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        return Draft202012Validator({**schema, **self._defs})
