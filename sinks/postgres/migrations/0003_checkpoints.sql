-- Of source partitions, not of tenants: how far each raw-sink partition is durably stored, by which owner, and
-- the range that was being inserted (written before the insert, inserted again exactly so after a crash).
CREATE TABLE checkpoints (
    consumer_group    text    NOT NULL,
    topic             text    NOT NULL,
    kafka_partition   integer NOT NULL,
    owner_epoch       bigint  NOT NULL DEFAULT 0,
    durable_offset    bigint  NOT NULL DEFAULT -1,
    pending_first     bigint,
    pending_last      bigint,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, kafka_partition),
    CHECK ((pending_first IS NULL) = (pending_last IS NULL)),
    CHECK (pending_first <= pending_last)
);
