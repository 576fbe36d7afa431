"""The access of stt-workers on other machines to a master.

They may work on job queues and write the progress of transcripts. What is said in a piece of audio goes back as the
result of its job, so they need no PostgreSQL. The same credential opens the audio over HTTP.
"""

from airnode.bus import keys as bus_keys
from airnode.bus.jobs.keys import jobs_access
from airnode.bus.keys import PREFIX
from airnode.kernel.access import JoinToken, RedisAccess, RemoteAccess
from airnode.speech.service.progress import CHANNEL
from airnode.speech.service.queue_names import LONG, SHORT, SPLITS
from airnode.speech.service.worker_facts import GROUP

SPEECH_TOKEN = JoinToken(
    "speech_token",
    "speech token",
    "Credential with which stt-workers on other machines get pieces of audio from a master, 32 characters or more, the "
    "same on the master and on them; opens job queues and uploads, and nothing else.",
)
#: The end of a piece moves the job that merges it, so the queue of that one belongs to it.
_JOBS = jobs_access(SHORT, LONG, SPLITS)

SPEECH_ACCESS = RemoteAccess(
    name="speech",
    token=SPEECH_TOKEN,
    redis=RedisAccess(
        keys=(*_JOBS.keys, f"{PREFIX}speech:*", bus_keys.lease_values(GROUP), bus_keys.lease_ends(GROUP)),
        channels=(*_JOBS.channels, bus_keys.channel(CHANNEL)),
        categories=_JOBS.categories,
        commands=_JOBS.commands,
    ),
)
