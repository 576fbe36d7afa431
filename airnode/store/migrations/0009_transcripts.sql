-- Transcripts of uploads, and keys of programs.
CREATE SCHEMA speech;

-- node_id: the master whose disk has the upload. owner: whose it is, such as teacher:kim or key:3f9a…; only they, and
-- who has the teacher or the admin secret, see it. language: as asked for; empty: it is detected.
CREATE TABLE speech.transcripts (
    transcript_id        text PRIMARY KEY CHECK (transcript_id ~ '^t[0-9a-f]{24}$'),
    owner                text NOT NULL CHECK (length(owner) BETWEEN 1 AND 200),
    node_id              text NOT NULL CHECK (length(node_id) BETWEEN 1 AND 200),
    file_name            text NOT NULL CHECK (length(file_name) <= 255),
    size_bytes           bigint NOT NULL CHECK (size_bytes >= 0),
    duration_s           double precision NOT NULL CHECK (duration_s >= 0),
    options              jsonb NOT NULL,
    queue                text NOT NULL,
    state                text NOT NULL CHECK (state IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    pieces               integer NOT NULL DEFAULT 0 CHECK (pieces >= 0),
    failed_pieces        integer NOT NULL DEFAULT 0 CHECK (failed_pieces BETWEEN 0 AND pieces),
    language             text NOT NULL DEFAULT '',
    language_probability double precision NOT NULL DEFAULT 0,
    gaps                 jsonb NOT NULL DEFAULT '[]',
    error_code           text NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL DEFAULT now(),
    started_at           timestamptz,
    ended_at             timestamptz
);

CREATE INDEX transcripts_by_owner ON speech.transcripts (owner, created_at DESC);
CREATE INDEX transcripts_open ON speech.transcripts (node_id) WHERE state IN ('queued', 'processing');

COMMENT ON COLUMN speech.transcripts.options IS 'What was asked for: language, task, prompt, temperature.';
COMMENT ON COLUMN speech.transcripts.gaps IS 'Spans that could not be transcribed, [{start_s, end_s}].';

CREATE TABLE speech.segments (
    transcript_id text NOT NULL REFERENCES speech.transcripts ON DELETE CASCADE,
    number        integer NOT NULL CHECK (number >= 0),
    start_s       double precision NOT NULL,
    end_s         double precision NOT NULL CHECK (end_s >= start_s),
    text          text NOT NULL,
    words         jsonb NOT NULL DEFAULT '[]',
    scores        jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (transcript_id, number)
);

COMMENT ON TABLE speech.segments IS 'What was said, in order; times are seconds from the beginning of the upload.';

-- A key itself is nowhere, only its SHA-256: it has 256 random bits, so a slow hash would add nothing.
CREATE TABLE api_keys (
    key_id        text PRIMARY KEY CHECK (key_id ~ '^[0-9a-f]{12}$'),
    name          text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    sha256        text NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    rate_per_s    double precision CHECK (rate_per_s > 0),
    daily_minutes double precision CHECK (daily_minutes >= 0),
    created_at    timestamptz NOT NULL DEFAULT now(),
    used_at       timestamptz,
    revoked_at    timestamptz
);

COMMENT ON COLUMN api_keys.rate_per_s IS 'Null: auth.api_key_rate_per_s.';
COMMENT ON COLUMN api_keys.daily_minutes IS 'Null: auth.api_key_daily_minutes.';

CREATE TABLE api_key_usage (
    key_id  text NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    day     date NOT NULL,
    seconds double precision NOT NULL CHECK (seconds >= 0),
    PRIMARY KEY (key_id, day)
);

COMMENT ON TABLE api_key_usage IS 'Seconds of audio that a key has sent on a day (UTC).';
