-- What became of each offset of the raw topics, as bitmaps: the union of bitmaps is the same however often a part of it
-- is written, so a record landed twice is one offset, and counting or finding gaps touches some kilobytes for a million
-- records. Outcomes: stored (landed; items of it may be refused), refused (a dead letter), repeated (a replay that was
-- there already), empty (a tick, or a request without content).
CREATE TABLE offset_accounts
(
    topic LowCardinality(String),
    kafka_partition Int32,
    bucket Int64 COMMENT 'kafka_offset div 65536',
    tenant LowCardinality(String) COMMENT 'empty for ticks of no tenant',
    outcome LowCardinality(String),
    offsets AggregateFunction(groupBitmap, UInt64),
    newest_arrival SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    newest_event SimpleAggregateFunction(max, DateTime64(9, 'UTC')) COMMENT 'of what is stored; 1970 where not told',
    stored_at SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (topic, kafka_partition, bucket, tenant, outcome)
TTL stored_at + INTERVAL 14 DAY
SETTINGS ttl_only_drop_parts = 0;

CREATE MATERIALIZED VIEW landed_records_to_offset_accounts TO offset_accounts AS
SELECT
    topic,
    kafka_partition,
    intDiv(kafka_offset, 65536) AS bucket,
    tenant,
    'stored' AS outcome,
    groupBitmapState(toUInt64(kafka_offset)) AS offsets,
    max(arrival_time) AS newest_arrival,
    toDateTime64(0, 9, 'UTC') AS newest_event,
    max(stored_at) AS stored_at
FROM landed_records
GROUP BY topic, kafka_partition, bucket, tenant;

-- What ingest tells of records that are not landed, in ranges; and how new the newest event is (an empty range).
CREATE TABLE offset_notes
(
    topic String,
    kafka_partition Int32,
    tenant String,
    outcome String,
    first_offset Int64,
    end_offset Int64 COMMENT 'exclusive',
    newest_arrival_unix_nano Int64,
    newest_event_unix_nano Int64
)
ENGINE = Null;

CREATE MATERIALIZED VIEW offset_notes_to_offset_accounts TO offset_accounts AS
SELECT
    topic,
    kafka_partition,
    intDiv(first_offset + part * 65536, 65536) AS bucket,
    tenant,
    outcome,
    groupBitmapArrayState(arrayMap(
        number -> toUInt64(number),
        range(greatest(first_offset, bucket * 65536), least(end_offset, (bucket + 1) * 65536)))) AS offsets,
    fromUnixTimestamp64Nano(max(newest_arrival_unix_nano), 'UTC') AS newest_arrival,
    fromUnixTimestamp64Nano(max(newest_event_unix_nano), 'UTC') AS newest_event,
    now('UTC') AS stored_at
FROM offset_notes
ARRAY JOIN range(toUInt64(intDiv(greatest(end_offset - 1, first_offset), 65536) - intDiv(first_offset, 65536) + 1)) AS part
GROUP BY topic, kafka_partition, bucket, tenant, outcome;
