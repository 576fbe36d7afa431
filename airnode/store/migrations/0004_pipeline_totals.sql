-- A sum of amounts that each fit may not: one order beyond measure would keep all others of its minute from landing.
ALTER TABLE pipeline.orders_per_minute ALTER COLUMN revenue_krw TYPE numeric;
ALTER TABLE pipeline.orders_per_product ALTER COLUMN revenue_krw TYPE numeric;

-- For those that are looked at again and again: the latest that nobody has dealt with.
CREATE INDEX dead_letters_waiting ON pipeline.dead_letters (died_at DESC) WHERE replayed_at IS NULL;
