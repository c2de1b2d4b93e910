-- How OTLP values become columns. An attribute map holds every value as text; a second map names the type of each
-- value that is not a string. The text of a number is as ClickHouse prints it, of a bool true or false; of bytes, and
-- of the protobuf content of an array or a key-value list, it is base64 (sinks.clickhouse.values opens it again).
-- Functions are filled in where a view is created; ClickHouse analyses a view anew on every insert, so short is fast.

CREATE OR REPLACE FUNCTION incidentscope_text AS (any) ->
    multiIf(
        isNotNull((any).string_value), assumeNotNull((any).string_value),
        isNotNull((any).int_value), toString(assumeNotNull((any).int_value)),
        isNotNull((any).double_value), toString(assumeNotNull((any).double_value)),
        isNotNull((any).bool_value), if(assumeNotNull((any).bool_value), 'true', 'false'),
        base64Encode(coalesce((any).array_value, (any).kvlist_value, (any).bytes_value, '')));

CREATE OR REPLACE FUNCTION incidentscope_type AS (any) ->
    CAST(multiIf(
        isNotNull((any).string_value), 1,
        isNotNull((any).int_value), 3,
        isNotNull((any).double_value), 4,
        isNotNull((any).bool_value), 2,
        isNotNull((any).array_value), 5,
        isNotNull((any).kvlist_value), 6,
        isNotNull((any).bytes_value), 7,
        0),
        'Enum8(\'empty\' = 0, \'string\' = 1, \'bool\' = 2, \'int\' = 3, \'double\' = 4, \'array\' = 5, \'map\' = 6, \'bytes\' = 7)');

CREATE OR REPLACE FUNCTION incidentscope_attributes AS (pairs) ->
    mapFromArrays(
        CAST((pairs).key, 'Array(LowCardinality(String))'),
        arrayMap((any) -> incidentscope_text(any), (pairs).value));

CREATE OR REPLACE FUNCTION incidentscope_attribute_types AS (pairs) ->
    mapFromArrays(
        CAST(arrayFilter((key, text) -> isNull(text), (pairs).key, (pairs).value.string_value), 'Array(LowCardinality(String))'),
        arrayMap((any) -> incidentscope_type(any), arrayFilter((any) -> isNull((any).string_value), (pairs).value)));

-- The last service.name, or unknown_service.
CREATE OR REPLACE FUNCTION incidentscope_service AS (pairs) ->
    coalesce(nullIf(arrayLast((text, key) -> key = 'service.name', (pairs).value.string_value, (pairs).key), ''), 'unknown_service');

-- Event time for partitions and sort order: never more than 24 h before or 10 min after the arrival, so no producer
-- can spread one insert over a hundred days. The time as it was sent stands beside it.
CREATE OR REPLACE FUNCTION incidentscope_stored_time AS (unix_nano, earliest, latest) ->
    fromUnixTimestamp64Nano(toInt64(least(greatest(unix_nano, earliest), latest)), 'UTC');
