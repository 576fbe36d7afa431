"""The stt-worker: transcribes pieces of uploads. Any number of them, on any machine."""

from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts, in_order
from airnode.speech.service.access import SPEECH_ACCESS, SPEECH_TOKEN
from airnode.speech.service.worker import make_worker
from airnode.web.health import HealthCheck


def build(ctx: RoleContext) -> RoleParts:
    """Return the engine, and the worker that gives it pieces from the queues."""
    cluster = ctx.settings.cluster
    parts = make_worker(
        ctx.bus,
        ctx.jobs,
        ctx.settings.speech,
        data_dir=ctx.data_dir,
        node_id=ctx.identity.node_id,
        node_name=ctx.identity.node_name,
        speech_token=cluster.join_token(SPEECH_TOKEN.key),
        master_url=cluster.master_url,
        registry=ctx.registry,
        tasks=ctx.tasks,
    )
    return RoleParts(
        services=in_order(parts.services),
        preflight=(parts.preflight,),
        checks=(HealthCheck("stt-worker", parts.check, critical=False),),
    )


ROLE = Role(
    name="stt-worker",
    summary="transcribes uploads, piece by piece",
    build=build,
    access=SPEECH_ACCESS,
    needs=frozenset({Resource.REDIS}),
    without={Resource.REDIS: "No piece of audio is taken; those in hand are done again when it answers."},
)
