"""One publishing browser: the asyncio side of a session, between a WebSocket and an ingest."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from airnode.config.sections.browser import BrowserSection
from airnode.errors import AirnodeError, Conflict, Forbidden, Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.media.browser.errors import (
    ClassOver,
    FramingViolation,
    MessageTooLarge,
    TooFast,
    TooSlow,
    close_code,
    reason_of,
)
from airnode.media.browser.framing import Accepted, KeyFrameWanted, Publish, Refused, Remark, ServerText, render
from airnode.media.browser.metrics import BrowserMetrics
from airnode.media.browser.session import BrowserSession
from airnode.media.browser.sound import MISSING, ConvertedSound
from airnode.media.frames import CodecRecord, IngestEvent, KeyFrameReason, StreamMetadata
from airnode.media.room.rooms import RoomIngest, Rooms
from airnode.media.rtmp.publishing import PublishAuthority, PublisherInfo, PublishRefusal, PublishRequest

log = structlog.get_logger(__name__)

#: Time in which a browser can read the refusal.
LINGER_S = 2.0
_CHECK_EVERY_S = 1.0
#: Errors that are broken rules or limits, not refusals.
_PROTOCOL_ERRORS = (FramingViolation, MessageTooLarge, TooFast, TooSlow)


@dataclass(frozen=True, slots=True)
class BrowserContext:
    """The parts that all connections share.

    Attributes:
        grace_s: the class is kept for this long after a lost connection.
        admit: raises when no further publisher is accepted.
        changed: called when the connection starts or stops to publish.
        sound_missing: called when sound could not be converted for want of PyAV.
    """

    section: BrowserSection
    authority: PublishAuthority
    rooms: Rooms
    metrics: BrowserMetrics
    tasks: TaskScope
    executor: Executor
    grace_s: float
    admit: Callable[[], None]
    changed: Callable[["BrowserConnection"], None]
    sound_missing: Callable[[], None]


class BrowserConnection:
    """Moves messages between a WebSocket and a session, and media from the session to an ingest.

    Attributes:
        publishing: its stream key was right, and it holds its room.
    """

    def __init__(self, context: BrowserContext, ws: web.WebSocketResponse, remote: str, *, secure: bool) -> None:
        self._context = context
        self._ws = ws
        self._remote = remote
        self._secure = secure
        self._loop = asyncio.get_running_loop()
        self._session = BrowserSession(context.section, self._loop.time())
        self._ingest: RoomIngest | None = None
        self._room = ""
        self._end: AirnodeError | None = None
        self._uncounted_bytes = 0
        self._sound = ConvertedSound(
            context.executor,
            context.tasks,
            context.metrics,
            bitrate_bps=context.section.aac_bitrate_bps,
            take=self._push_converted,
            missing=self._sound_missing,
        )
        self._converts = False
        self._timer = self._loop.call_later(_CHECK_EVERY_S, self._check)
        self._task = asyncio.current_task()

    @property
    def publishing(self) -> bool:
        """Return whether it publishes."""
        return self._ingest is not None

    @property
    def ending(self) -> bool:
        """Return whether it has its error already, which the peer may still be reading."""
        return self._end is not None

    async def run(self) -> None:
        """Serve the connection until its end."""
        reason = "closed_by_peer"
        try:
            await self._receive()
        except AirnodeError as error:
            self._end = self._end or error
        except asyncio.CancelledError:
            if self._end is None:
                reason = "connection_lost"
                raise
            if self._task is not None:
                self._task.uncancel()
        except Exception:
            # A boundary: an error in this program must not affect other streams, and it is always logged.
            log.exception("browser_connection_failed", remote=self._remote, room=self._room)
            self._end = AirnodeError("Internal error")
        finally:
            self._timer.cancel()
            reason = reason_of(self._end) if self._end is not None else reason
            self._close_ingest(self._end.detail if self._end is not None else reason)
            self._count_bytes()
            self._log_end(reason)
        if self._end is not None:
            await self._refuse(self._end)

    # -- called by the server and the hub -----------------------------------------------------------------------------

    def disconnect(self, error: AirnodeError) -> None:
        """End the connection with an error that the browser shows; nothing is received any more."""
        if self._end is None:
            self._end = error
            self._loop.call_soon(self._close_ingest, error.detail)
            if self._task is not None:
                self._task.cancel()

    def request_key_frame(self, reason: KeyFrameReason) -> None:
        """Ask the browser for a key frame, unless it has just been asked."""
        if self._end is None and self._session.may_request_key(self._loop.time()):
            self._context.metrics.key_frames.labels(reason).inc()
            _ = self._context.tasks.spawn("key-frame", self._send(KeyFrameWanted(reason)))

    # -- receiving ----------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            message = await self._ws.receive()
            now_s = self._loop.time()
            if message.type is WSMsgType.BINARY:
                self._take(message.data, now_s)
                ack = self._session.due_ack(now_s)
                if ack is not None:
                    self._count_bytes()
                    await self._ws.send_str(render(ack))
            elif message.type is WSMsgType.TEXT:
                text = self._session.receive_text(message.data, now_s)
                if not isinstance(text, Publish):
                    return self._stop()
                await self._publish(text)
            elif message.type is WSMsgType.ERROR:
                raise _websocket_error(message.data)
            else:
                return None

    def _take(self, data: bytes, now_s: float) -> None:
        arrived_s = time.time()
        self._uncounted_bytes += len(data)
        event = self._session.receive_binary(data, now_s, arrived_s)
        if event is None:
            self._context.metrics.dropped.inc()
        elif isinstance(event, CodecRecord):
            self._push(self._configure(event), len(data))
        elif self._converts and event.track == "audio":
            self._push(self._sound.push(event), len(data))
        else:
            self._push([event], len(data))

    def _configure(self, config: CodecRecord) -> Sequence[IngestEvent]:
        if config.codec == "opus" and self._context.section.opus == "aac":
            self._converts = True
            return self._sound.configure(config.record)
        if config.codec in ("aac", "opus"):
            self._converts = False
        return [config]

    def _push(self, events: Sequence[IngestEvent], received_bytes: int) -> None:
        if self._ingest is not None and self._end is None:
            self._ingest.push(events, received_bytes)

    def _push_converted(self, events: Sequence[IngestEvent]) -> None:
        try:
            if self._converts:
                self._push(events, 0)
        except AirnodeError as error:
            self.disconnect(error)

    def _sound_missing(self) -> None:
        self._context.sound_missing()
        _ = self._context.tasks.spawn("remark", self._send(Remark("sound_not_converted", MISSING)))

    def _stop(self) -> None:
        """End the class: the teacher has stopped on purpose, so nobody waits for the grace time."""
        ingest, self._ingest = self._ingest, None
        self._closed(ingest)
        if ingest is not None:
            ingest.close("stopped", final=True)

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def _publish(self, request: Publish) -> None:
        """Open the room of a stream key.

        Raises:
            AirnodeError: the publisher is refused.
        """
        self._context.admit()
        room = await self._authorize(request)
        key = request.key or request.room
        await self._context.rooms.wait_for_turn(room, key)
        if self._end is not None:
            raise self._end
        publisher = PublisherInfo(self._remote, key, self._secure, self._taken_over, self.request_key_frame)
        self._ingest = self._context.rooms.open(room, publisher)
        self._room = room
        self._context.metrics.publishers.inc()
        self._context.changed(self)
        log.info("browser_publish_started", remote=self._remote, room=room, secure=self._secure)
        self._session.accept(self._loop.time())
        self._push([StreamMetadata(encoder=request.encoder)], 0)
        section = self._context.section
        await self._ws.send_str(render(Accepted(room, section.key_frame_interval_s, self._context.grace_s)))

    async def _authorize(self, request: Publish) -> str:
        params = {"key": request.key} if request.room and request.key else {}
        wanted = PublishRequest(
            "live", request.room or request.key, params, self._remote, request.key or request.room, self._secure
        )
        try:
            async with asyncio.timeout(self._context.section.publish_timeout_s):
                decision = await self._context.authority.authorize(wanted)
        except TimeoutError:
            raise Unavailable("The stream key could not be checked in time; try again.", retry_after_s=1) from None
        if isinstance(decision, PublishRefusal):
            raise Forbidden(decision.description)
        return decision

    def _taken_over(self, reason: str) -> None:
        room = self._context.rooms.get(self._room)
        kind = ClassOver if room is not None and room.phase == "ended" else Conflict
        self.disconnect(kind(f"{reason[:1].upper()}{reason[1:]}."))

    def _close_ingest(self, reason: str) -> None:
        ingest, self._ingest = self._ingest, None
        self._closed(ingest)
        if ingest is not None:
            ingest.close(reason)

    def _closed(self, ingest: RoomIngest | None) -> None:
        self._sound.close()
        if ingest is not None:
            self._context.metrics.publishers.dec()
            self._context.changed(self)

    # -- time, sending, the end ---------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Check the timeouts, and acknowledge the last messages of a publisher that pauses, once a second."""
        now_s = self._loop.time()
        try:
            self._session.require_alive(now_s)
        except AirnodeError as error:
            self.disconnect(error)
            return
        self._timer = self._loop.call_later(_CHECK_EVERY_S, self._check)
        if self._end is None and (ack := self._session.due_ack(now_s)) is not None:
            _ = self._context.tasks.spawn("ack", self._send(ack))

    def _count_bytes(self) -> None:
        self._context.metrics.received_bytes.inc(self._uncounted_bytes)
        self._uncounted_bytes = 0

    async def _send(self, message: ServerText) -> None:
        with suppress(ConnectionError, RuntimeError, TimeoutError):  # the connection has just ended
            async with asyncio.timeout(LINGER_S):
                await self._ws.send_str(render(message))

    async def _refuse(self, error: AirnodeError) -> None:
        """Send the error, and close the WebSocket with its code; the peer gets `LINGER_S` to read it."""
        detail = error.detail or error.title
        await self._send(Refused(error.code, detail, error.status, error.retry_after_s))
        with suppress(ConnectionError, RuntimeError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._ws.close(code=close_code(error), message=_reason_bytes(detail))

    def _log_end(self, reason: str) -> None:
        error, metrics = self._end, self._context.metrics
        if isinstance(error, _PROTOCOL_ERRORS):
            metrics.protocol_errors.labels(reason).inc()
        elif error is not None and not self._room:
            metrics.rejected.labels(reason).inc()
        level = log.info if error is None or isinstance(error, Unavailable) else log.warning
        detail = {"detail": error.detail} if error is not None else {}
        level("browser_connection_ended", reason=reason, remote=self._remote, room=self._room or None, **detail)


def _websocket_error(error: object) -> AirnodeError:
    if isinstance(error, WebSocketError) and error.code == WSCloseCode.MESSAGE_TOO_BIG:
        return MessageTooLarge("A message is larger than browser.max_message_bytes.")
    return FramingViolation("websocket", f"The WebSocket failed: {error}")


def _reason_bytes(text: str) -> bytes:
    """Return the reason of a close frame: at most 123 bytes of UTF-8 (RFC 6455 5.5)."""
    return text.encode()[:120].decode(errors="ignore").encode()
