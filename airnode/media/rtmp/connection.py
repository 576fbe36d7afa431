"""One RTMP connection: the asyncio side of a session, a demuxer and an ingest."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

import structlog

from airnode.errors import AirnodeError, Conflict, Forbidden, NotFound, Unauthenticated
from airnode.kernel.tasks import TaskScope
from airnode.media.frames import IngestEvent
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import (
    Event,
    MessageSkipped,
    PublishRequested,
    PublishStopped,
)
from airnode.media.rtmp.metrics import RtmpMetrics
from airnode.media.rtmp.published_media import PublishedMedia
from airnode.media.rtmp.publishing import (
    Ingest,
    IngestHub,
    PublishAuthority,
    PublisherInfo,
    PublishRefusal,
    PublishRequest,
)
from airnode.media.rtmp.session import PUBLISH_FAILED, PUBLISH_REJECTED, ServerSession
from airnode.media.rtmp.session_limits import SessionLimits

log = structlog.get_logger(__name__)

BAD_NAME: Final = "NetStream.Publish.BadName"
#: Time in which a peer can read the status that refused it.
LINGER_S: Final = 2.0
#: The metric of received bytes is updated after this many bytes.
_COUNT_INTERVAL_BYTES: Final = 64 << 10

Level = Literal["debug", "info", "warning"]


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """The parts that all connections of a server share.

    Attributes:
        refuse: returns why no publisher is accepted at the moment, or None.
        changed: called when the connection is opened or closed, and when it starts or stops to publish.
    """

    limits: SessionLimits
    authority: PublishAuthority
    hub: IngestHub
    metrics: RtmpMetrics
    tasks: TaskScope
    refuse: Callable[[], PublishRefusal | None]
    changed: Callable[["RtmpConnection"], None]


class RtmpConnection(asyncio.Protocol):
    """Moves bytes between a transport and a session, and media from the session to an ingest.

    Its end is logged once, with the first reason; later reasons are only consequences of it.
    """

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._session = ServerSession(context.limits, self._loop.time())
        self._media = PublishedMedia(self._malformed)
        self._ingest: Ingest | None = None
        self._room = ""
        self._remote = ""
        self._secure = False
        self._started_s = self._loop.time()
        self._unpushed_bytes = 0
        self._uncounted_bytes = 0
        #: Reasons of skipped messages that have been logged.
        self._logged: set[str] = set()
        self._end_reason: str | None = None
        self._closed = False
        self._deciding = False
        self._write_paused = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        """Whether the transport is closed."""
        return self._closed

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout of the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._remote = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        self._secure = isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject | ssl.SSLSocket)
        self._context.metrics.accepted.inc()
        self._start_timer()
        self._context.changed(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the session; a closing connection discards further bytes."""
        self._uncounted_bytes += len(data)
        if self._end_reason is None:
            self._unpushed_bytes += len(data)
            audio_waits = self._ingest is None or not self._ingest.needs_audio_at_once
            if self._session.postpone(data, self._loop.time(), audio=audio_waits):
                return
            self._advance(data)
        if self._uncounted_bytes > _COUNT_INTERVAL_BYTES:
            self._count_bytes()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up after the end, no matter which side ended it."""
        if self._end_reason is None:
            self._advance(b"")  # the postponed reads
        self._count_bytes()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        sent_nothing = self._session.received_bytes == 0
        self._end("debug" if sent_nothing else "info", "connection_lost" if exc else "closed_by_peer")
        self._close_ingest(self._end_reason or "")
        self._context.changed(self)

    def _count_bytes(self) -> None:
        self._context.metrics.received_bytes.inc(self._uncounted_bytes)
        self._uncounted_bytes = 0

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read the answers."""
        self._write_paused = True
        self._update_reading()

    def resume_writing(self) -> None:
        """Read from the peer again."""
        self._write_paused = False
        self._update_reading()

    # --- called by the server and the hub

    def disconnect(self, reason: str, code: str = PUBLISH_FAILED) -> None:
        """End the connection with a status that the encoder shows."""
        if self._end_reason is None:
            self._end("info", "disconnected", reason)
            self._close_with_status(code, reason)

    def abort(self) -> None:
        """End the connection now, without a status."""
        self._end("info", "aborted")
        self._transport.abort()

    # --- session

    def _advance(self, data: bytes) -> None:
        try:
            self._handle(self._session.receive(data, self._loop.time()))
        except ProtocolViolation as error:
            self._context.metrics.protocol_errors.labels(error.reason).inc()
            self._end("warning", error.reason, error.detail)
            self._close()
        except AirnodeError as error:
            self._context.metrics.rejected.labels(error.code).inc()
            self._end("warning", error.code, error.detail)
            self._close_with_status(_status_code(error, PUBLISH_FAILED), error.detail or error.title)
        except Exception:
            # A boundary: an error in this program must not affect other streams, and it is always logged.
            log.exception("rtmp_connection_failed", remote=self._remote, room=self._room)
            self._end("warning", "internal")
            self._close_with_status(PUBLISH_FAILED, "Internal error")
        else:
            self._flush()

    def _handle(self, events: list[Event]) -> None:
        media: list[IngestEvent] = []
        arrived_s = time.time()
        for event in events:
            if isinstance(event, PublishRequested):
                self._start_decision(event)
            elif isinstance(event, PublishStopped):
                self._push(media)
                media = []
                log.info("rtmp_publish_ended", remote=self._remote, room=self._room, reason=event.reason)
                self._close_ingest(event.reason)
                self._start_timer()
            elif isinstance(event, MessageSkipped):
                self._skipped(event.reason, event.detail)
            else:
                media += self._media.read(event, arrived_s)
        self._push(media)

    def _skipped(self, reason: str, detail: str) -> None:
        """Count a message that could not be read; log the first one with each reason."""
        self._context.metrics.protocol_errors.labels(reason).inc()
        if reason not in self._logged:
            self._logged.add(reason)
            where = {"remote": self._remote, "room": self._room or None}
            log.warning("rtmp_message_skipped", reason=reason, detail=detail, **where)

    def _malformed(self, detail: str) -> None:
        self._skipped("malformed_media", detail)

    def _push(self, media: list[IngestEvent]) -> None:
        if self._ingest is not None and self._end_reason is None and (media or self._unpushed_bytes):
            received, self._unpushed_bytes = self._unpushed_bytes, 0
            self._ingest.push(media, received)

    # --- publishing

    def _start_decision(self, event: PublishRequested) -> None:
        self._deciding = True
        self._update_reading()
        _ = self._context.tasks.spawn("publish", self._decide(event))

    async def _decide(self, event: PublishRequested) -> None:
        """Ask the authority and the hub, and answer a publish; meanwhile nothing is read from the peer."""
        request = PublishRequest(event.app, event.name, event.params, self._remote, event.key, self._secure)
        try:
            decision = self._context.refuse() or await self._authorize(request)
            if self._end_reason is not None:
                return
            if isinstance(decision, PublishRefusal):
                self._reject(decision.reason, decision.description, BAD_NAME)
                return
            await self._context.hub.wait_for_turn(decision, event.key)
            if self._end_reason is not None:
                return
            publisher = PublisherInfo(self._remote, event.key, self._secure, self.disconnect)
            self._ingest = self._context.hub.open(decision, publisher)
        except AirnodeError as error:
            self._reject(error.code, error.detail or error.title, _status_code(error, PUBLISH_REJECTED))
            return
        except Exception:
            # A boundary, as in _advance: without an answer the peer would wait until its own timeout.
            log.exception("rtmp_connection_failed", remote=self._remote)
            self._reject("internal", "Internal error", PUBLISH_REJECTED)
            return
        finally:
            self._deciding = False
        self._start_publishing(decision)

    async def _authorize(self, request: PublishRequest) -> str | PublishRefusal:
        try:
            async with asyncio.timeout(self._context.limits.publish_timeout_s):
                return await self._context.authority.authorize(request)
        except TimeoutError:
            return PublishRefusal("authorization_timeout", "The stream key could not be checked in time; try again.")

    def _start_publishing(self, room: str) -> None:
        self._room = room
        self._media = PublishedMedia(self._malformed)
        self._unpushed_bytes = 0
        self._session.accept_publish()
        self._context.metrics.publishers.inc()
        self._context.changed(self)
        log.info("rtmp_publish_started", remote=self._remote, room=room, secure=self._secure)
        self._start_timer()
        self._update_reading()
        self._advance(b"")

    def _reject(self, reason: str, description: str, code: str) -> None:
        self._context.metrics.rejected.labels(reason).inc()
        self._end("warning", reason, description)
        self._session.reject_publish(code, description)
        self._close()

    def _close_ingest(self, reason: str) -> None:
        ingest, self._ingest = self._ingest, None
        if ingest is not None:
            self._context.metrics.publishers.dec()
            ingest.close(reason)
            self._context.changed(self)

    # --- time

    def _start_timer(self) -> None:
        """Start the timer for the session's deadline. Received bytes move the deadline but not the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._session.deadline()
        if deadline is not None and self._end_reason is None:
            self._timer = self._loop.call_at(deadline[0], self._check_deadline)

    def _check_deadline(self) -> None:
        try:
            self._session.expire(self._loop.time())
        except ProtocolViolation as error:
            self._context.metrics.protocol_errors.labels(error.reason).inc()
            self._end("warning", error.reason, error.detail)
            self._close()
        else:
            self._start_timer()

    # --- sending and ending

    def _flush(self) -> None:
        out = self._session.data_to_send()
        if out and not self._transport.is_closing():
            self._transport.write(out)

    def _update_reading(self) -> None:
        if self._transport.is_closing():
            return
        # A closing connection is still read and the input discarded: a close with unread input would reset the
        # connection, and the peer might not receive the status.
        should_read = self._end_reason is not None or not (self._write_paused or self._deciding)
        if should_read and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not should_read and self._transport.is_reading():
            self._transport.pause_reading()

    def _end(self, level: Level, reason: str, detail: str = "") -> None:
        """Store the reason of the end and log it; later reasons are ignored."""
        if self._end_reason is not None:
            return
        self._end_reason = reason
        detail_field = {"detail": detail} if detail else {}
        getattr(log, level)(
            "rtmp_connection_ended",
            reason=reason,
            remote=self._remote,
            room=self._room or None,
            received_bytes=self._session.received_bytes,
            duration_s=round(self._loop.time() - self._started_s, 3),
            **detail_field,
        )

    def _close_with_status(self, code: str, description: str) -> None:
        self._session.abort_publish(code, description)
        self._close()

    def _close(self) -> None:
        """Send the remaining bytes, close the sending direction, and give the peer time to read it."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.call_soon(self._close_ingest, self._end_reason or "")
        if self._transport.is_closing():
            return
        self._flush()
        self._timer = self._loop.call_later(LINGER_S, self._transport.abort)
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._update_reading()
        else:
            self._transport.close()


def _status_code(error: AirnodeError, otherwise: str) -> str:
    """Return the status code of an error. Encoders show BadName as a stream key that is wrong or in use."""
    return BAD_NAME if isinstance(error, Conflict | Forbidden | NotFound | Unauthenticated) else otherwise
