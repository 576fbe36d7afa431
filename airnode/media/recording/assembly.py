"""What makes and serves a slave's recordings, by the node's settings."""

from airnode.bus.records import Records
from airnode.media.assembly import master_host
from airnode.media.recording.announcer import Announcer
from airnode.media.recording.catalog import Catalog
from airnode.media.recording.holders import Holders
from airnode.media.recording.recorder import Recorder
from airnode.media.recording.recording_api import RecordingMedia
from airnode.media.relay.upstream import NodeToken
from airnode.media.room.rooms import Rooms
from airnode.runtime.context import RoleContext


class Recordings:
    """The parts that make and serve recordings.

    Attributes:
        services: in the order in which they start. The recorder starts last and stops first, after the publishers.
        media: what serves them.
    """

    def __init__(self, ctx: RoleContext, rooms: Rooms) -> None:
        section, node_id = ctx.settings.recording, ctx.identity.node_id
        token = NodeToken(lambda: ctx.tokens.issue_node(node_id))
        catalog = Catalog(section.dir or ctx.data_dir / "recordings")
        holders = Holders(Records(ctx.bus), token, node_id, master_host(ctx), ctx.registry)
        announcer = Announcer(ctx.bus, catalog, node_id, ctx.addresses, ctx.tasks("recording-announcer"))
        self.recorder = Recorder(rooms, catalog, section, node_id, ctx.registry, ctx.tasks("recorder"))
        announcer.obey(self.recorder)
        self.services = (catalog, holders, announcer, self.recorder)
        self.media = RecordingMedia(
            catalog,
            holders,
            ctx.tokens,
            ctx.registry,
            student_download=section.student_download,
            gap_s=section.download_gap_s,
        )
