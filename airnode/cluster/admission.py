"""Who gets a token: class codes, the teacher's secret, and the rate of both."""

import time
from typing import NoReturn

from prometheus_client import CollectorRegistry, Counter

from airnode.cluster.classes import Class, Classes
from airnode.cluster.codes import normal_code
from airnode.config.sections.auth import AuthSection
from airnode.errors import Forbidden, RateLimited
from airnode.web.credentials import same_secret
from airnode.web.rate_limit import RateLimit, network_of


class Admission:
    """Decides about token requests. Refusals are limited per address apart from the requests themselves, so that a
    whole school behind one address can join at once while nobody can try codes.
    """

    def __init__(self, section: AuthSection, default_room: str, classes: Classes, registry: CollectorRegistry) -> None:
        self._join = section.student_join
        self._teacher_secret = section.teacher_secret.get_secret_value()
        self._default_room = default_room
        self._classes = classes
        self._requests = RateLimit(section.token_rate_per_s, section.token_burst)
        self._failures = RateLimit(section.failure_rate_per_s, section.failure_burst)
        self._refused = Counter("airnode_tokens_refused_total", "Token requests refused", ["reason"], registry=registry)

    def check_rate(self, address: str) -> None:
        """Count one request from ``address``.

        Raises:
            RateLimited: (429) too many requests, or too many wrong codes or secrets.
        """
        now_s, client = time.monotonic(), network_of(address)
        wait_s = self._requests.take(client, now_s) or self._failures.wait_s(client, now_s)
        if wait_s > 0:
            self._refused.labels("rate").inc()
            raise RateLimited("Too many requests from your network; try again in a moment.", retry_after_s=wait_s)

    async def student(self, address: str, code: str, room: str) -> Class:
        """The class that a student may join.

        Raises:
            Forbidden: (403) no code, a wrong one, or no one may join.
        """
        if self._join == "closed":
            self._refuse(address, "closed", "Joining is closed at the moment.")
        if code:
            found = await self._classes.by_code(normal_code(code))
            if found is None:
                self._refuse(address, "code", "This class code is not right; ask your teacher for it.")
            return found
        if self._join == "code":
            self._refuse(address, "code", "A class code is needed; ask your teacher for it.")
        return await self._classes.by_room(room or self._default_room)

    async def teacher(self, address: str, secret: str, room: str) -> Class:
        """The class that a teacher teaches.

        Raises:
            Forbidden: (403) the secret is missing or wrong. NotFound: (404) no such room.
        """
        self.check_teacher(address, secret)
        return await self._classes.by_room(room or self._default_room)

    def check_teacher(self, address: str, secret: str) -> None:
        """Raise Forbidden (403) unless ``secret`` is the teacher's."""
        if not same_secret(secret, self._teacher_secret):
            self._refuse(address, "secret", "The teacher secret is missing or not right.")

    def _refuse(self, address: str, reason: str, detail: str) -> NoReturn:
        self._failures.take(network_of(address), time.monotonic())
        self._refused.labels(reason).inc()
        raise Forbidden(detail)
