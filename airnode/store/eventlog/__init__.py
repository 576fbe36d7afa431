"""The event log: topics of ordered partitions, on Kafka or on Redis Streams, behind one interface (:mod:`.log`)."""
