"""Frames are what protobuf says they are, and our .proto files are what OTLP says they are."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from sinks.clickhouse.framing import RawRow, frame, landing_schema, varint

OTLP = {
    "common": [common_pb2, resource_pb2],
    "traces": [trace_pb2, trace_service_pb2],
    "logs": [common_pb2, logs_pb2, logs_service_pb2],
    "metrics": [metrics_pb2, metrics_service_pb2],
}
OURS = {"Record", "BodyArray", "BodyMap", "BodyPair", "BodyValue", "InnerArray", "InnerMap"}
STANDS_FOR = {"Body": "AnyValue"}
WIRE_TYPES = {"fixed64": 6, "fixed32": 7, "sfixed64": 16, "double": 1, "uint32": 13, "uint64": 4, "sint32": 17,
              "int64": 3, "bool": 8}  # fmt: skip
"""Those of descriptor.proto; our int32 stands for enums too, string, bytes and messages are one wire type."""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint and the place after it."""
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return number, at


def read_records(block: bytes) -> list[dict[int, bytes | int]]:
    """Return the fields of each length-delimited message, the last of equal numbers."""
    records, at = [], 0
    while at < len(block):
        size, at = read_varint(block, at)
        end, fields = at + size, dict[int, bytes | int]()
        while at < end:
            tag, at = read_varint(block, at)
            number, at = read_varint(block, at)
            fields[tag >> 3] = number
            if tag & 7 == 2:
                fields[tag >> 3], at = block[at : at + number], at + number
        assert at == end
        records.append(fields)
    return records


@given(
    st.lists(
        st.builds(
            RawRow,
            tenant=st.text("abc.-_", min_size=1, max_size=64),
            partition=st.integers(0, 255),
            offset=st.integers(0, 2**63 - 1),
            value=st.binary(max_size=300),
            arrival_ns=st.integers(0, 2**62),
        ),
        max_size=5,
    )
)
def test_a_frame_holds_each_record_whole(rows: list[RawRow]) -> None:
    """Whatever the values are, no field of one reaches into another."""
    expected = [
        {1: row.value, 2: row.tenant.encode(), 3: row.partition, 4: row.offset, 5: row.arrival_ns} for row in rows
    ]
    assert read_records(frame(rows)) == expected


@pytest.mark.parametrize(("arrival_ns", "framed"), [(-1, 0), (0, 0), (2**62, 2**62), (2**63 - 1, 2**62)])
def test_an_arrival_is_kept_within_what_a_date_can_hold(arrival_ns: int, framed: int) -> None:
    """Before 1970 and after 2116 nothing arrives."""
    assert read_records(frame([RawRow("t", 0, 0, b"", arrival_ns)]))[0][5] == framed


@given(st.integers(0, 2**64 - 1))
def test_a_varint_reads_back(number: int) -> None:
    """In at most ten bytes."""
    assert read_varint(varint(number), 0) == (number, len(varint(number)))


@pytest.mark.parametrize("name", OTLP)
def test_our_fields_are_otlps_fields(name: str) -> None:
    """Number, wire type and repetition of every field agree with opentelemetry-proto."""
    theirs = {
        message.name: message
        for module in OTLP[name]
        for top in module.DESCRIPTOR.message_types_by_name.values()
        for message in (top, *top.nested_types)
    }
    text = re.sub(r"//.*", "", resources.files("schemas").joinpath("proto", f"{name}.proto").read_text())
    text = re.sub(r"oneof \w+ \{([^}]*)\}", r"\1", text)
    compared = 0
    for message, body in re.findall(r"message (\w+) \{([^}]*)\}", text):
        if message in OURS:
            continue
        descriptor = theirs[STANDS_FOR.get(message, message)]
        for repeated, kind, field, number in re.findall(r"(repeated |optional |)(\w+) (\w+) = (\d+);", body):
            their = descriptor.fields_by_name[field]
            assert (their.number, their.is_repeated) == (int(number), repeated == "repeated "), (message, field)
            if kind in WIRE_TYPES:
                assert their.type == WIRE_TYPES[kind], (message, field)
            compared += 1
    assert compared > 7


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_a_landing_schema_is_one_short_file(signal: str) -> None:
    """It goes with every insert, to a server in the URL."""
    schema = landing_schema(signal)
    assert schema.count("syntax") == 1
    assert "import" not in schema
    assert "//" not in schema
    assert len(schema) < 5000
