-- let texts = Map(LowCardinality(String), String)
-- let types = Map(LowCardinality(String), Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7))

-- Log records that our own code has flattened, as flat_spans has spans.
CREATE TABLE flat_logs
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
    severity_number Int32,
    severity_text LowCardinality(String),
    body String,
    body_type Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7),
    event_name LowCardinality(String),
    unix_nano UInt64,
    observed_unix_nano UInt64,
    flags UInt32,
    attributes ${texts},
    attribute_types ${types},
    is_cut Bool COMMENT 'the body or a value of attributes was cut',
    dropped_attributes UInt32
)
ENGINE = Null;

CREATE MATERIALIZED VIEW flat_logs_to_logs TO logs AS
WITH
    toUInt64(greatest(arrival_unix_nano - 86400000000000, 0)) AS earliest,
    toUInt64(arrival_unix_nano + 600000000000) AS latest,
    multiIf(unix_nano != 0, unix_nano, observed_unix_nano != 0, observed_unix_nano, toUInt64(arrival_unix_nano)) AS own_time
SELECT
    tenant,
    service,
    incidentscope_stored_time(own_time, earliest, latest) AS time,
    trace_id,
    span_id,
    severity_number,
    severity_text,
    body,
    body_type,
    event_name,
    unix_nano,
    observed_unix_nano,
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
    dropped_attributes,
    bitOr(toUInt16(own_time < earliest OR own_time > latest), 16 * is_cut) AS marks,
    kafka_partition,
    kafka_offset,
    item,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM flat_logs;

CREATE MATERIALIZED VIEW flat_logs_to_landed_records TO landed_records AS
SELECT
    tenant,
    'otel.logs' AS topic,
    kafka_partition,
    kafka_offset,
    record_items AS items,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM flat_logs
WHERE record_items > 0;
