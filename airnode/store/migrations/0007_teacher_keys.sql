-- A class may have a teacher key: it opens the studio of this class only. Nobody reads it again after it was made.
ALTER TABLE classes ADD COLUMN teacher_key_digest text UNIQUE CHECK (length(teacher_key_digest) = 64);
