CREATE TABLE classes (
    room        text PRIMARY KEY CHECK (room ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    title       text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    code        text NOT NULL UNIQUE CHECK (length(code) BETWEEN 4 AND 64),
    stream_key  text NOT NULL UNIQUE CHECK (length(stream_key) BETWEEN 16 AND 128),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz
);

COMMENT ON TABLE classes IS 'A class: its room, what students type to join (code), and what the teacher publishes with (stream_key).';

CREATE TABLE users (
    user_id       text NOT NULL CHECK (length(user_id) BETWEEN 1 AND 200),
    user_type     text NOT NULL CHECK (user_type IN ('student', 'teacher', 'admin')),
    display_name  text NOT NULL DEFAULT '' CHECK (length(display_name) <= 200),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, user_type),
    CHECK (last_seen_at >= first_seen_at)
);

CREATE TABLE node_keys (
    name       text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    value      text NOT NULL CHECK (value <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE node_keys IS 'Secrets that a node made for itself, such as the key that signs tokens.';
