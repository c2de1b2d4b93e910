-- What the landing gives account of. Partitions follow the arrival, which is the same whenever a record is landed
-- again: ClickHouse recognises a repeated insert within one partition only.

-- Items that cannot be stored as what they claim to be.
CREATE TABLE rejected_items
(
    tenant LowCardinality(String),
    topic LowCardinality(String),
    kafka_partition Int32 CODEC(T64, ZSTD(1)),
    kafka_offset Int64 CODEC(Delta, ZSTD(1)),
    item UInt32 CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String) COMMENT 'of schemas.errors.RejectReason',
    detail String CODEC(ZSTD(1)),
    service LowCardinality(String),
    name LowCardinality(String),
    arrival_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(arrival_time)
ORDER BY (tenant, topic, kafka_partition, kafka_offset, item)
TTL stored_at + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- One row for each Kafka record that was landed: what reconciling counts.
CREATE TABLE landed_records
(
    tenant LowCardinality(String),
    topic LowCardinality(String),
    kafka_partition Int32 CODEC(T64, ZSTD(1)),
    kafka_offset Int64 CODEC(Delta, ZSTD(1)),
    items UInt32 CODEC(T64, ZSTD(1)),
    arrival_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(arrival_time)
ORDER BY (topic, kafka_partition, kafka_offset)
TTL stored_at + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
