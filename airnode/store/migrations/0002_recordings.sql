CREATE TABLE recordings (
    recording_id text PRIMARY KEY CHECK (recording_id ~ '^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$'),
    room         text NOT NULL CHECK (room ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    node_id      text NOT NULL CHECK (length(node_id) BETWEEN 1 AND 200),
    status       text NOT NULL CHECK (status IN ('recording', 'finished', 'interrupted')),
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    duration_s   double precision NOT NULL CHECK (duration_s >= 0),
    size_bytes   bigint NOT NULL CHECK (size_bytes >= 0),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX recordings_by_room ON recordings (room, started_at DESC);
CREATE INDEX recordings_by_node ON recordings (node_id);

COMMENT ON TABLE recordings IS 'What nodes have on their disks, as they said last: the files there are the truth, this is found without them.';
