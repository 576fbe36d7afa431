-- The teacher of an interactive class asks for the lowest delay: pages then decode by themselves where browsers can.
ALTER TABLE classes ADD COLUMN lowest_delay boolean NOT NULL DEFAULT false;
