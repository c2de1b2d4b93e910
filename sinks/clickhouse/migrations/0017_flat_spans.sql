-- let texts = Map(LowCardinality(String), String)
-- let types = Map(LowCardinality(String), Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7))

-- Spans that our own code has flattened: one row a span, sent as a block of the Native format (sinks.clickhouse.flat). What
-- it leaves alone comes as protobuf, through landing_traces, and is stored the same.
CREATE TABLE flat_spans
(
    tenant LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64,
    item UInt32,
    record_items UInt32 COMMENT 'in the first row of a record: how many it has; in the others 0',
    arrival_unix_nano Int64,
    service LowCardinality(String),
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url LowCardinality(String),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),
    scope_attributes ${texts},
    scope_attribute_types ${types},
    scope_schema_url LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    parent_span_id FixedString(8),
    trace_state String,
    name LowCardinality(String),
    kind_code Int32,
    start_unix_nano UInt64,
    end_unix_nano UInt64,
    attributes ${texts},
    attribute_types ${types},
    is_cut Bool COMMENT 'a value of attributes was cut',
    dropped_attributes UInt32,
    events Array(Tuple(unix_nano UInt64, name LowCardinality(String), attributes ${texts}, attribute_types ${types}, dropped_attributes UInt32)),
    dropped_events UInt32,
    links Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32, attributes ${texts}, attribute_types ${types}, dropped_attributes UInt32)),
    dropped_links UInt32,
    status_code Int32,
    status_message String,
    flags UInt32
)
ENGINE = Null;

CREATE MATERIALIZED VIEW flat_spans_to_spans TO spans AS
WITH
    toUInt64(greatest(arrival_unix_nano - 86400000000000, 0)) AS earliest,
    toUInt64(arrival_unix_nano + 600000000000) AS latest
SELECT
    tenant,
    service,
    incidentscope_stored_time(start_unix_nano, earliest, latest) AS start_time,
    trace_id,
    span_id,
    parent_span_id,
    name,
    kind_code,
    status_code,
    status_message,
    if(end_unix_nano > start_unix_nano, end_unix_nano - start_unix_nano, 0) AS duration_ns,
    start_unix_nano,
    end_unix_nano,
    trace_state,
    flags,
    attributes,
    attribute_types,
    resource_attributes,
    resource_attribute_types,
    resource_schema_url,
    scope_name,
    scope_version,
    scope_attributes,
    scope_attribute_types,
    scope_schema_url,
    events,
    links,
    dropped_attributes,
    dropped_events,
    dropped_links,
    bitOr(bitOr(
        least(start_unix_nano, end_unix_nano) < earliest OR greatest(start_unix_nano, end_unix_nano) > latest,
        2 * (end_unix_nano < start_unix_nano)),
        16 * is_cut) AS marks,
    kafka_partition,
    kafka_offset,
    item,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM flat_spans;

CREATE MATERIALIZED VIEW flat_spans_to_landed_records TO landed_records AS
SELECT
    tenant,
    'otel.traces' AS topic,
    kafka_partition,
    kafka_offset,
    record_items AS items,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM flat_spans
WHERE record_items > 0;
