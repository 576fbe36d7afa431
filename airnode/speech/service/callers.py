"""Who asks for transcripts: teachers and admins with their credentials, programs with API keys."""

import time
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.config.sections.auth import AuthSection
from airnode.errors import Forbidden, NotFound, RateLimited, Unauthenticated
from airnode.speech.service.records import TranscriptRecord
from airnode.speech.service.refusals import DailyMinutesUsed
from airnode.store.api_keys import ApiKey, ApiKeys, is_api_key
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, Right, credential
from airnode.web.rate_limit import AttemptLimit, RateLimit
from airnode.web.tokens import Tokens, is_token


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        owner: whose transcripts are theirs, and whose turn in a queue it is.
        sees_all: whether they see the transcripts of others too. key: of a program.
    """

    owner: str
    sees_all: bool = False
    key: ApiKey | None = None

    def require(self, record: TranscriptRecord | None) -> TranscriptRecord:
        """Return the transcript if it exists and they may see it.

        Raises:
            NotFound: (404) else; the answer does not say which of the two.
        """
        if record is None or not (self.sees_all or record.owner == self.owner):
            raise NotFound("There is no such transcript.")
        return record


class Callers:
    """Finds out who asks, and counts what programs use.

    Args:
        attempts: limits how often a network may send wrong keys.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        tokens: Tokens,
        keys: ApiKeys,
        clients: Clients,
        attempts: AttemptLimit,
        section: AuthSection,
        registry: CollectorRegistry,
    ) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._keys = keys
        self._clients = clients
        self._attempts = attempts
        self._section = section
        #: {requests per second: the limit of the keys that have this one}.
        self._rates: dict[float, RateLimit] = {}
        self._limited = Counter(
            "airnode_api_keys_limited_total", "Requests with an API key above its limits", ["limit"], registry=registry
        )

    async def identify(self, request: web.Request) -> Caller:
        """Return who sent a request.

        Raises:
            Unauthenticated: (401) no credential, or a wrong one.
            Forbidden: (403) a student's token.
            RateLimited: (429) too many wrong ones from that network, or more requests than the key may send.
        """
        given = credential(request)
        if is_api_key(given):
            return await self._program(request, given)
        if is_token(given):
            claims = self._tokens.verify(given)
            claims.require_teacher()
            room = f"{claims.room}:" if claims.own_class else ""
            return Caller(f"teacher:{room}{claims.user_id}"[:200], sees_all=not claims.own_class)
        try:
            self._authorizer.require(request, Right.TRANSCRIBER)
        except Forbidden as error:
            raise Unauthenticated(error.detail) from None
        return Caller("teacher", sees_all=True)

    async def charge(self, caller: Caller, seconds: float) -> None:
        """Count seconds of audio for a program.

        Raises:
            DailyMinutesUsed: (429) its minutes of today do not suffice.
        """
        if caller.key is None:
            return
        own = caller.key.daily_minutes
        daily = self._section.api_key_daily_minutes if own is None else own
        if not await self._keys.charge(caller.key.key_id, seconds, daily * 60):
            self._limited.labels("daily_minutes").inc()
            raise DailyMinutesUsed(
                f"This API key may send {daily:g} minutes of audio a day (auth.api_key_daily_minutes, or its own).",
                fields={"dailyMinutes": daily},
                retry_after_s=86_400 - time.time() % 86_400,
            )

    async def refund(self, caller: Caller, seconds: float) -> None:
        """Take back what :meth:`charge` counted."""
        if caller.key is not None:
            await self._keys.refund(caller.key.key_id, seconds)

    async def _program(self, request: web.Request, given: str) -> Caller:
        address = self._clients.address(request)
        self._attempts.check(address)
        key = await self._keys.find(given) if self._section.api_keys else None
        if key is None:
            self._attempts.count_wrong(address, "api_key")
            raise Unauthenticated("This API key is not known, or it was revoked.")
        rate = key.rate_per_s or self._section.api_key_rate_per_s
        limit = self._rates.setdefault(rate, RateLimit(rate, max(1, round(rate * 10))))
        wait_s = limit.take(key.key_id, time.monotonic())
        if wait_s > 0:
            self._limited.labels("rate").inc()
            raise RateLimited(f"This API key may send {rate:g} requests a second.", retry_after_s=wait_s)
        return Caller(f"key:{key.key_id}", key=key)
