-- let texts = Map(LowCardinality(String), String)
-- let types = Map(LowCardinality(String), Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7))
-- let value = Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))
-- let key_values = Array(Tuple(key String, value ${value}))

-- Spans as they came. Event time decides partition and order; retention counts from storing, so that a replayed
-- recording lives as long as live data.

CREATE TABLE spans
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    start_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'clamped to [arrival - 24 h, arrival + 10 min]',
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id FixedString(8) CODEC(ZSTD(1)) COMMENT 'zeros for a root',
    name LowCardinality(String),
    kind_code Int32 CODEC(T64, ZSTD(1)) COMMENT 'as sent, also when unknown',
    kind String ALIAS transform(kind_code, [1, 2, 3, 4, 5], ['internal', 'server', 'client', 'producer', 'consumer'], 'unspecified'),
    status_code Int32 CODEC(T64, ZSTD(1)) COMMENT 'as sent, also when unknown',
    status String ALIAS transform(status_code, [1, 2], ['ok', 'error'], 'unset'),
    status_message String CODEC(ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)) COMMENT '0 when the span ends before it starts',
    start_unix_nano UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'as sent',
    end_unix_nano UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'as sent',
    trace_state String CODEC(ZSTD(1)),
    flags UInt32 CODEC(T64, ZSTD(1)),
    attributes ${texts} CODEC(ZSTD(1)),
    attribute_types ${types} CODEC(ZSTD(1)),
    resource_attributes ${texts} CODEC(ZSTD(1)),
    resource_attribute_types ${types} CODEC(ZSTD(1)),
    resource_schema_url LowCardinality(String),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),
    scope_attributes ${texts} CODEC(ZSTD(1)),
    scope_attribute_types ${types} CODEC(ZSTD(1)),
    scope_schema_url LowCardinality(String),
    events Array(Tuple(unix_nano UInt64, name LowCardinality(String), attributes ${texts}, attribute_types ${types}, dropped_attributes UInt32)) CODEC(ZSTD(1)),
    links Array(Tuple(trace_id String, span_id String, trace_state String, flags UInt32, attributes ${texts}, attribute_types ${types}, dropped_attributes UInt32)) CODEC(ZSTD(1)),
    dropped_attributes UInt32 CODEC(T64, ZSTD(1)),
    dropped_events UInt32 CODEC(T64, ZSTD(1)),
    dropped_links UInt32 CODEC(T64, ZSTD(1)),
    marks UInt16 CODEC(T64, ZSTD(1)) COMMENT 'bits: 1 a time lies outside the accepted range, 2 it ends before it starts, 16 attributes were cut',
    kafka_partition Int32 CODEC(T64, ZSTD(1)),
    kafka_offset Int64 CODEC(Delta, ZSTD(1)),
    item UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'ordinal of the span in its record: with partition and offset its ingest id',
    arrival_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1)),
    trace_id_hex String ALIAS lower(hex(trace_id)),
    span_id_hex String ALIAS lower(hex(span_id)),
    parent_span_id_hex String ALIAS lower(hex(parent_span_id)),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_duration duration_ns TYPE minmax GRANULARITY 1,
    INDEX by_name name TYPE set(100) GRANULARITY 1,
    INDEX by_status status_code TYPE set(3) GRANULARITY 1,
    INDEX by_attribute mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(start_time)
ORDER BY (tenant, service, start_time)
TTL stored_at + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- When a trace ran, so that reading it opens one day and a few granules.
CREATE TABLE trace_times
(
    tenant LowCardinality(String),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    first_time SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta, ZSTD(1)),
    last_time SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta, ZSTD(1)),
    stored_at SimpleAggregateFunction(max, DateTime('UTC')) CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(first_time)
ORDER BY (tenant, trace_id)
TTL stored_at + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- let span = Tuple(trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32, start_time_unix_nano UInt64, end_time_unix_nano UInt64, attributes ${key_values}, dropped_attributes_count UInt32, events Array(Tuple(time_unix_nano UInt64, name String, attributes ${key_values}, dropped_attributes_count UInt32)), dropped_events_count UInt32, links Array(Tuple(trace_id String, span_id String, trace_state String, attributes ${key_values}, dropped_attributes_count UInt32, flags UInt32)), dropped_links_count UInt32, status Tuple(message String, code Int32), flags UInt32)
-- let scope = Tuple(scope Tuple(name String, version String, attributes ${key_values}), schema_url String, spans Array(${span}))

-- One row is one Kafka record (schemas/proto/traces.proto). The engine Null stores nothing: the views below do, and
-- in steps, because one view that does it all takes ClickHouse four times as long to analyse.
CREATE TABLE landing_traces
(
    tenant_id String,
    kafka_partition Int32,
    kafka_offset Int64,
    arrival_unix_nano Int64,
    request Tuple(resource_spans Array(Tuple(resource Tuple(attributes ${key_values}), schema_url String, scope_spans Array(${scope}))))
)
ENGINE = Null;

CREATE TABLE landing_spans
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    item UInt32,
    arrival_unix_nano Int64,
    earliest UInt64,
    latest UInt64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scope_name String,
    scope_version String,
    scope_attributes ${texts},
    scope_attribute_types ${types},
    scope_schema_url String,
    is_sound Bool,
    span ${span}
)
ENGINE = Null;

CREATE TABLE landing_trace_resources
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    first_item UInt64,
    arrival_unix_nano Int64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scopes Array(${scope})
)
ENGINE = Null;

CREATE TABLE landing_trace_scopes
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    first_item UInt64,
    arrival_unix_nano Int64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scope_name String,
    scope_version String,
    scope_attributes ${texts},
    scope_attribute_types ${types},
    scope_schema_url String,
    spans Array(${span})
)
ENGINE = Null;

CREATE MATERIALIZED VIEW landing_traces_to_landing_trace_resources TO landing_trace_resources AS
SELECT
    tenant_id AS tenant, kafka_partition, kafka_offset,
    end_item - arraySum(spans -> length(spans), scopes.spans) AS first_item,
    arrival_unix_nano,
    incidentscope_service((element.resource).attributes) AS service,
    incidentscope_attributes((element.resource).attributes) AS resource_attributes,
    incidentscope_attribute_types((element.resource).attributes) AS resource_attribute_types,
    element.schema_url AS resource_schema_url,
    element.scope_spans AS scopes
FROM landing_traces
ARRAY JOIN
    request.resource_spans AS element,
    arrayCumSum(scopes -> arraySum(spans -> length(spans), scopes.spans), request.resource_spans.scope_spans) AS end_item;

CREATE MATERIALIZED VIEW landing_trace_resources_to_landing_trace_scopes TO landing_trace_scopes AS
SELECT
    tenant, kafka_partition, kafka_offset,
    first_item + end_item - length(element.spans) AS first_item,
    arrival_unix_nano, service, resource_attributes, resource_attribute_types, resource_schema_url,
    element.scope.name AS scope_name,
    element.scope.version AS scope_version,
    incidentscope_attributes((element.scope).attributes) AS scope_attributes,
    incidentscope_attribute_types((element.scope).attributes) AS scope_attribute_types,
    element.schema_url AS scope_schema_url,
    element.spans AS spans
FROM landing_trace_resources
ARRAY JOIN scopes AS element, arrayCumSum(spans -> length(spans), scopes.spans) AS end_item;

CREATE MATERIALIZED VIEW landing_trace_scopes_to_landing_spans TO landing_spans AS
SELECT
    tenant, kafka_partition, kafka_offset,
    first_item + ordinal - 1 AS item,
    arrival_unix_nano,
    toUInt64(greatest(arrival_unix_nano - 86400000000000, 0)) AS earliest,
    toUInt64(arrival_unix_nano + 600000000000) AS latest,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    length(span.trace_id) = 16 AND length(span.span_id) = 8 AND length(span.parent_span_id) IN (0, 8)
        AND span.trace_id != repeat('\0', 16) AND span.span_id != repeat('\0', 8) AS is_sound,
    span
FROM landing_trace_scopes
ARRAY JOIN spans AS span, arrayEnumerate(spans) AS ordinal;

CREATE MATERIALIZED VIEW landing_spans_to_spans TO spans AS
SELECT
    tenant,
    service,
    incidentscope_stored_time((span).start_time_unix_nano, earliest, latest) AS start_time,
    toFixedString((span).trace_id, 16) AS trace_id,
    toFixedString((span).span_id, 8) AS span_id,
    toFixedString((span).parent_span_id, 8) AS parent_span_id,
    (span).name AS name,
    (span).kind AS kind_code,
    ((span).status).code AS status_code,
    ((span).status).message AS status_message,
    if((span).end_time_unix_nano > (span).start_time_unix_nano, (span).end_time_unix_nano - (span).start_time_unix_nano, 0) AS duration_ns,
    (span).start_time_unix_nano AS start_unix_nano,
    (span).end_time_unix_nano AS end_unix_nano,
    (span).trace_state AS trace_state,
    (span).flags AS flags,
    incidentscope_attributes((span).attributes) AS attributes,
    incidentscope_attribute_types((span).attributes) AS attribute_types,
    resource_attributes,
    resource_attribute_types,
    resource_schema_url,
    scope_name,
    scope_version,
    scope_attributes,
    scope_attribute_types,
    scope_schema_url,
    arrayMap(event -> (
        (event).time_unix_nano, (event).name, incidentscope_attributes((event).attributes),
        incidentscope_attribute_types((event).attributes), (event).dropped_attributes_count), (span).events) AS events,
    arrayMap(link -> (
        lower(hex((link).trace_id)), lower(hex((link).span_id)), (link).trace_state, (link).flags,
        incidentscope_attributes((link).attributes), incidentscope_attribute_types((link).attributes),
        (link).dropped_attributes_count), (span).links) AS links,
    (span).dropped_attributes_count + incidentscope_surplus((span).attributes) AS dropped_attributes,
    (span).dropped_events_count AS dropped_events,
    (span).dropped_links_count AS dropped_links,
    bitOr(bitOr(
        least(start_unix_nano, end_unix_nano) < earliest OR greatest(start_unix_nano, end_unix_nano) > latest,
        2 * (end_unix_nano < start_unix_nano)),
        incidentscope_cut_mark((span).attributes, attributes)) AS marks,
    kafka_partition,
    kafka_offset,
    item,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_spans
WHERE is_sound;

CREATE MATERIALIZED VIEW landing_spans_to_rejected_items TO rejected_items AS
SELECT
    tenant,
    'otel.traces' AS topic,
    kafka_partition,
    kafka_offset,
    item,
    'bad_id' AS reason,
    concat('lengths of trace, span and parent id: ', toString(length((span).trace_id)), ', ',
           toString(length((span).span_id)), ', ', toString(length((span).parent_span_id))) AS detail,
    service,
    left((span).name, 256) AS name,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_spans
WHERE NOT is_sound;

CREATE MATERIALIZED VIEW landing_traces_to_landed_records TO landed_records AS
SELECT
    tenant_id AS tenant,
    'otel.traces' AS topic,
    kafka_partition,
    kafka_offset,
    arraySum(scopes -> arraySum(spans -> length(spans), (scopes).spans), ((request).resource_spans).scope_spans) AS items,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_traces;

CREATE MATERIALIZED VIEW spans_to_trace_times TO trace_times AS
SELECT
    tenant,
    trace_id,
    min(start_time) AS first_time,
    max(start_time) AS last_time,
    max(stored_at) AS stored_at
FROM spans
GROUP BY tenant, trace_id;
