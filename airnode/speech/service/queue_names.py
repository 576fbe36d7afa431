"""The queues of transcripts."""

#: Jobs that masters work on: cutting uploads, and merging what workers heard.
SPLITS = "speech-splits"
#: Pieces of uploads that are ``speech.short_file_s`` long or longer, and of shorter ones.
LONG, SHORT = "long-files", "short-files"

#: Of jobs of masters, with pauses of 2 s to 8 minutes: what is done already must not be lost while a store is away.
MASTER_ATTEMPTS = 10


def merge_id(transcript_id: str) -> str:
    """Return the id of the job that merges a transcript's pieces; that of the split is the transcript's."""
    return f"{transcript_id}-merge"
