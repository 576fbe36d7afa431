-- What happened in classes, as events of the topic classroom say. Events may come again, and deletions before what they
-- delete, so rows are keyed by what they are about, and there are no foreign keys.
CREATE SCHEMA classroom;

CREATE TABLE classroom.sessions (
    session_id uuid PRIMARY KEY,
    room       text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    landed_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (ended_at >= started_at)
);

CREATE INDEX sessions_by_room ON classroom.sessions (room, started_at DESC);

COMMENT ON TABLE classroom.sessions IS 'Times in which a class was live; short reconnects belong to the same one.';

CREATE TABLE classroom.attendance (
    interval_id uuid PRIMARY KEY,
    session_id  uuid NOT NULL,
    room        text NOT NULL,
    user_id     text NOT NULL,
    name        text NOT NULL,
    role        text NOT NULL CHECK (role IN ('student', 'teacher')),
    kind        text NOT NULL CHECK (kind IN ('chat', 'media')),
    joined_at   timestamptz NOT NULL,
    left_at     timestamptz NOT NULL,
    landed_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (left_at >= joined_at)
);

CREATE INDEX attendance_by_session ON classroom.attendance (session_id);
CREATE INDEX attendance_by_user ON classroom.attendance (user_id);

-- sent_at is null where only the deletion has come so far. A deleted message has no content.
CREATE TABLE classroom.messages (
    room       text NOT NULL,
    message_id text NOT NULL,
    user_id    text NOT NULL,
    name       text NOT NULL,
    role       text NOT NULL,
    type       text NOT NULL,
    content    text NOT NULL,
    sent_at    timestamptz,
    deleted_at timestamptz,
    landed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, message_id)
);

CREATE INDEX messages_by_time ON classroom.messages (room, sent_at);
CREATE INDEX messages_by_user ON classroom.messages (user_id);

-- changed_at and log_offset order the states of a question or a poll; the newest is kept.
CREATE TABLE classroom.questions (
    room        text NOT NULL,
    question_id text NOT NULL,
    user_id     text NOT NULL,
    name        text NOT NULL,
    content     text NOT NULL,
    supporters  integer NOT NULL CHECK (supporters >= 0),
    answered    boolean NOT NULL,
    deleted     boolean NOT NULL,
    asked_at    timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    log_offset  bigint NOT NULL,
    landed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, question_id)
);

CREATE INDEX questions_by_time ON classroom.questions (room, asked_at);
CREATE INDEX questions_by_user ON classroom.questions (user_id);

CREATE TABLE classroom.polls (
    room       text NOT NULL,
    poll_id    text NOT NULL,
    question   text NOT NULL,
    options    jsonb NOT NULL,
    answered   integer NOT NULL CHECK (answered >= 0),
    opened_at  timestamptz NOT NULL,
    closed_at  timestamptz,
    changed_at timestamptz NOT NULL,
    log_offset bigint NOT NULL,
    landed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, poll_id)
);

CREATE INDEX polls_by_time ON classroom.polls (room, opened_at);

COMMENT ON COLUMN classroom.polls.options IS '[{"text": …, "votes": …}], in the order of their indexes.';

CREATE TABLE classroom.poll_answers (
    room        text NOT NULL,
    poll_id     text NOT NULL,
    user_id     text NOT NULL,
    name        text NOT NULL,
    option      integer NOT NULL CHECK (option >= 0),
    answered_at timestamptz NOT NULL,
    landed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, poll_id, user_id)
);

CREATE INDEX poll_answers_by_user ON classroom.poll_answers (user_id);

-- An empty user_id: the teacher lowered all hands.
CREATE TABLE classroom.hands (
    event_id  uuid PRIMARY KEY,
    room      text NOT NULL,
    user_id   text NOT NULL,
    name      text NOT NULL,
    raised    boolean NOT NULL,
    at        timestamptz NOT NULL,
    landed_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX hands_by_time ON classroom.hands (room, at);
CREATE INDEX hands_by_user ON classroom.hands (user_id);
