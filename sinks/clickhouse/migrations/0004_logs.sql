-- Log records as they came. Retention counts from storing.

-- let texts = Map(LowCardinality(String), String)
-- let types = Map(LowCardinality(String), Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7))
-- let value = Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))
-- let key_values = Array(Tuple(key String, value ${value}))
-- let inner = Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Tuple(values Array(${value})), kvlist_value Tuple(values ${key_values}), bytes_value Nullable(String))
-- let body = Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Tuple(values Array(${inner})), kvlist_value Tuple(values Array(Tuple(key String, value ${inner}))), bytes_value Nullable(String))
-- let record = Tuple(time_unix_nano UInt64, severity_number Int32, severity_text String, body ${body}, attributes ${key_values}, dropped_attributes_count UInt32, flags UInt32, trace_id String, span_id String, observed_time_unix_nano UInt64, event_name String)
-- let scope = Tuple(scope Tuple(name String, version String, attributes ${key_values}), schema_url String, log_records Array(${record}))

CREATE TABLE logs
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'its time, else when it was observed, else arrival; clamped to [arrival - 24 h, arrival + 10 min]',
    trace_id FixedString(16) CODEC(ZSTD(1)) COMMENT 'zeros where there is none',
    span_id FixedString(8) CODEC(ZSTD(1)),
    severity_number Int32 CODEC(T64, ZSTD(1)) COMMENT 'as sent, also when unknown',
    severity String ALIAS multiIf(severity_number BETWEEN 1 AND 4, 'trace', severity_number BETWEEN 5 AND 8, 'debug', severity_number BETWEEN 9 AND 12, 'info', severity_number BETWEEN 13 AND 16, 'warn', severity_number BETWEEN 17 AND 20, 'error', severity_number BETWEEN 21 AND 24, 'fatal', 'unspecified'),
    severity_text LowCardinality(String),
    body String CODEC(ZSTD(1)) COMMENT 'text of any type; arrays and maps are JSON',
    body_type Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7),
    event_name LowCardinality(String),
    unix_nano UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'as sent',
    observed_unix_nano UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'as sent',
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
    dropped_attributes UInt32 CODEC(T64, ZSTD(1)),
    marks UInt16 CODEC(T64, ZSTD(1)) COMMENT 'bits: 1 a time lies outside the accepted range, 16 body or attributes were cut',
    kafka_partition Int32 CODEC(T64, ZSTD(1)),
    kafka_offset Int64 CODEC(Delta, ZSTD(1)),
    item UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'ordinal in its record: with partition and offset the ingest id',
    arrival_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1)),
    trace_id_hex String ALIAS lower(hex(trace_id)),
    span_id_hex String ALIAS lower(hex(span_id)),
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_severity severity_number TYPE minmax GRANULARITY 1,
    INDEX by_word body TYPE tokenbf_v1(16384, 3, 0) GRANULARITY 1,
    INDEX by_attribute mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (tenant, service, time)
TTL stored_at + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- JSON of a scalar; of anything else NULL.
CREATE OR REPLACE FUNCTION incidentscope_scalar_json AS (any) ->
    multiIf(
        isNotNull((any).string_value), toJSONString((any).string_value),
        isNotNull((any).int_value), toString((any).int_value),
        isNotNull((any).double_value), if(isFinite((any).double_value), toString((any).double_value), concat('"', toString((any).double_value), '"')),
        isNotNull((any).bool_value), if(assumeNotNull((any).bool_value), 'true', 'false'),
        isNotNull((any).bytes_value), concat('"', base64Encode((any).bytes_value), '"'),
        NULL);

-- JSON of a value whose arrays and lists are bytes: those stay protobuf, in base64 (sinks.clickhouse.values opens them).
CREATE OR REPLACE FUNCTION incidentscope_leaf_json AS (any) ->
    assumeNotNull(coalesce(
        incidentscope_scalar_json(any),
        concat('{"@array":"', base64Encode((any).array_value), '"}'),
        concat('{"@map":"', base64Encode((any).kvlist_value), '"}'),
        'null'));

-- The elements of an array or of a list (one of the two is empty), and what stands before each in JSON.
CREATE OR REPLACE FUNCTION incidentscope_elements AS (any) ->
    arrayConcat(((any).array_value).values, (((any).kvlist_value).values).value);

CREATE OR REPLACE FUNCTION incidentscope_keys AS (any) ->
    arrayConcat(
        arrayMap((element) -> '', ((any).array_value).values),
        arrayMap((pair) -> concat(toJSONString((pair).key), ':'), ((any).kvlist_value).values));

CREATE OR REPLACE FUNCTION incidentscope_bracketed AS (any, elements) ->
    concat(
        if(notEmpty(((any).array_value).values), '[', '{'),
        arrayStringConcat(elements, ','),
        if(notEmpty(((any).array_value).values), ']', '}'));

CREATE OR REPLACE FUNCTION incidentscope_is_nested AS (any) ->
    notEmpty(((any).array_value).values) OR notEmpty(((any).kvlist_value).values);

CREATE OR REPLACE FUNCTION incidentscope_inner_json AS (any) ->
    if(incidentscope_is_nested(any),
        incidentscope_bracketed(any, arrayMap(
            (key, leaf) -> concat(key, incidentscope_leaf_json(leaf)),
            incidentscope_keys(any), incidentscope_elements(any))),
        ifNull(incidentscope_scalar_json(any), 'null'));

CREATE TABLE landing_logs
(
    tenant_id String,
    kafka_partition Int32,
    kafka_offset Int64,
    arrival_unix_nano Int64,
    request Tuple(resource_logs Array(Tuple(resource Tuple(attributes ${key_values}), schema_url String, scope_logs Array(${scope}))))
)
ENGINE = Null;

CREATE TABLE landing_log_records
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
    own_time UInt64,
    is_sound Bool,
    record ${record}
)
ENGINE = Null;

CREATE TABLE landing_log_resources
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

CREATE TABLE landing_log_scopes
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
    log_records Array(${record})
)
ENGINE = Null;

CREATE MATERIALIZED VIEW landing_logs_to_landing_log_resources TO landing_log_resources AS
SELECT
    tenant_id AS tenant, kafka_partition, kafka_offset,
    end_item - arraySum(log_records -> length(log_records), scopes.log_records) AS first_item,
    arrival_unix_nano,
    incidentscope_service((element.resource).attributes) AS service,
    incidentscope_attributes((element.resource).attributes) AS resource_attributes,
    incidentscope_attribute_types((element.resource).attributes) AS resource_attribute_types,
    element.schema_url AS resource_schema_url,
    element.scope_logs AS scopes
FROM landing_logs
ARRAY JOIN
    request.resource_logs AS element,
    arrayCumSum(scopes -> arraySum(log_records -> length(log_records), scopes.log_records), request.resource_logs.scope_logs) AS end_item;

CREATE MATERIALIZED VIEW landing_log_resources_to_landing_log_scopes TO landing_log_scopes AS
SELECT
    tenant, kafka_partition, kafka_offset,
    first_item + end_item - length(element.log_records) AS first_item,
    arrival_unix_nano, service, resource_attributes, resource_attribute_types, resource_schema_url,
    element.scope.name AS scope_name,
    element.scope.version AS scope_version,
    incidentscope_attributes((element.scope).attributes) AS scope_attributes,
    incidentscope_attribute_types((element.scope).attributes) AS scope_attribute_types,
    element.schema_url AS scope_schema_url,
    element.log_records AS log_records
FROM landing_log_resources
ARRAY JOIN scopes AS element, arrayCumSum(log_records -> length(log_records), scopes.log_records) AS end_item;

CREATE MATERIALIZED VIEW landing_log_scopes_to_landing_log_records TO landing_log_records AS
SELECT
    tenant, kafka_partition, kafka_offset,
    first_item + ordinal - 1 AS item,
    arrival_unix_nano,
    toUInt64(greatest(arrival_unix_nano - 86400000000000, 0)) AS earliest,
    toUInt64(arrival_unix_nano + 600000000000) AS latest,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    multiIf(record.time_unix_nano != 0, record.time_unix_nano,
            record.observed_time_unix_nano != 0, record.observed_time_unix_nano,
            toUInt64(arrival_unix_nano)) AS own_time,
    length(record.trace_id) IN (0, 16) AS is_sound,
    record
FROM landing_log_scopes
ARRAY JOIN log_records AS record, arrayEnumerate(log_records) AS ordinal;

CREATE MATERIALIZED VIEW landing_log_records_to_logs TO logs AS
WITH multiIf(
        isNotNull(((record).body).string_value), assumeNotNull(((record).body).string_value),
        isNotNull(((record).body).int_value), toString(assumeNotNull(((record).body).int_value)),
        isNotNull(((record).body).double_value), toString(assumeNotNull(((record).body).double_value)),
        isNotNull(((record).body).bool_value), if(assumeNotNull(((record).body).bool_value), 'true', 'false'),
        isNotNull(((record).body).bytes_value), base64Encode(assumeNotNull(((record).body).bytes_value)),
        incidentscope_is_nested((record).body), incidentscope_bracketed((record).body, arrayMap(
            (key, inner) -> concat(key, incidentscope_inner_json(inner)),
            incidentscope_keys((record).body), incidentscope_elements((record).body))),
        '') AS whole_body
SELECT
    tenant,
    service,
    incidentscope_stored_time(own_time, earliest, latest) AS time,
    toFixedString((record).trace_id, 16) AS trace_id,
    toFixedString(if(length((record).span_id) = 8, (record).span_id, ''), 8) AS span_id,
    (record).severity_number AS severity_number,
    (record).severity_text AS severity_text,
    incidentscope_cut(whole_body, 65536) AS body,
    CAST(multiIf(
        isNotNull(((record).body).string_value), 1,
        isNotNull(((record).body).bool_value), 2,
        isNotNull(((record).body).int_value), 3,
        isNotNull(((record).body).double_value), 4,
        notEmpty((((record).body).array_value).values), 5,
        notEmpty((((record).body).kvlist_value).values), 6,
        isNotNull(((record).body).bytes_value), 7,
        0), 'Enum8(\'empty\' = 0, \'string\' = 1, \'bool\' = 2, \'int\' = 3, \'double\' = 4, \'array\' = 5, \'map\' = 6, \'bytes\' = 7)') AS body_type,
    (record).event_name AS event_name,
    (record).time_unix_nano AS unix_nano,
    (record).observed_time_unix_nano AS observed_unix_nano,
    (record).flags AS flags,
    incidentscope_attributes((record).attributes) AS attributes,
    incidentscope_attribute_types((record).attributes) AS attribute_types,
    resource_attributes,
    resource_attribute_types,
    resource_schema_url,
    scope_name,
    scope_version,
    scope_attributes,
    scope_attribute_types,
    scope_schema_url,
    (record).dropped_attributes_count + incidentscope_surplus((record).attributes) AS dropped_attributes,
    bitOr(bitOr(
        toUInt16(own_time < earliest OR own_time > latest),
        16 * (length(whole_body) > 65536)),
        incidentscope_cut_mark((record).attributes, attributes)) AS marks,
    kafka_partition,
    kafka_offset,
    item,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_log_records
WHERE is_sound;

CREATE MATERIALIZED VIEW landing_log_records_to_rejected_items TO rejected_items AS
SELECT
    tenant,
    'otel.logs' AS topic,
    kafka_partition,
    kafka_offset,
    item,
    'bad_id' AS reason,
    concat('length of trace id: ', toString(length((record).trace_id))) AS detail,
    service,
    left((record).event_name, 256) AS name,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_log_records
WHERE NOT is_sound;

CREATE MATERIALIZED VIEW landing_logs_to_landed_records TO landed_records AS
SELECT
    tenant_id AS tenant,
    'otel.logs' AS topic,
    kafka_partition,
    kafka_offset,
    arraySum(scopes -> arraySum(items -> length(items), (scopes).log_records), ((request).resource_logs).scope_logs) AS items,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_logs;
