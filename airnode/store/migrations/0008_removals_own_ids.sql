-- Students whom teachers removed from a class. The table of removals in Redis follows from it when Redis lost its data.
CREATE TABLE removals (
    room       text NOT NULL,
    user_id    text NOT NULL,
    name       text NOT NULL,
    removed_at timestamptz NOT NULL,
    PRIMARY KEY (room, user_id)
);

-- Ids that clients of students gave themselves: each belongs to the signed identity that came with it first, until nobody
-- has used it for auth.student_id_ttl_s.
CREATE TABLE own_ids (
    user_id    text PRIMARY KEY,
    student_id text NOT NULL,
    kept_until timestamptz NOT NULL
);

CREATE INDEX own_ids_by_end ON own_ids (kept_until);
