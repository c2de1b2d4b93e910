"""Recordings of telemetry (docs/recordings.md): read them, write them.

::

    traces.otlp[.zst] ┐
    metrics.otlp[.zst]├─ [4-byte length][Export…ServiceRequest]…      index.csv[.zst]  by arrival
    logs.otlp[.zst]   ┘                                                labels.json      what was wrong
                                                                       deploys.json     what was announced
"""

from __future__ import annotations

import csv
import io
import mmap
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, get_args

import zstandard
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from schemas.errors import SetupError
from schemas.incidents import Deploy

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

LENGTH_PREFIX = struct.Struct(">I")
INDEX_HEADER = ("arrival_unix_nano", "signal", "offset", "length", "items")
COPY_BYTES = 1 << 20
ARCHIVE_LEVEL = 19


class RecordedFault(BaseModel):
    """A fault that was injected while recording; instants are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    start_unix: float
    duration_s: float
    service: str
    instance: str = ""
    edge_client: str = ""
    """For a fault of one connection: its client."""
    fault: str = ""
    start_uncertainty_s: float = 0.0


class RecordedDeploy(BaseModel):
    """A deploy that was announced while recording (one of ``deploys.json``)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: str
    version: str = ""
    environment: str = ""
    kind: Literal["deploy", "rollback", "config"] = "deploy"
    at_unix: float

    def event(self, tenant: str, number: int) -> Deploy:
        """Return it as the product is told of it; ``number`` tells it from others of the recording."""
        at_ns = round(self.at_unix * 1e9)
        return Deploy(
            deploy_id=f"recorded-{number}-{at_ns}", tenant=tenant, service=self.service, version=self.version,
            environment=self.environment, kind=self.kind, at_ns=at_ns,
        )  # fmt: skip


_DEPLOYS = TypeAdapter(list[RecordedDeploy])


class Labels(BaseModel):
    """What was really wrong, and when (``labels.json``)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    system: str = ""
    """Recordings that share it are of one system, and of days that follow each other; else their names tell."""
    start_unix: float
    end_unix: float
    faults: list[RecordedFault] = []
    dont_care_utc: list[str] = []


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where one message is, and when it arrived."""

    arrival_ns: int
    signal: Signal
    offset: int
    length: int
    items: int


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One ``Export…ServiceRequest`` as it arrived."""

    arrival_ns: int
    signal: Signal
    value: bytes


class Recording:
    """A recording opened for reading; use as a context manager.

    Its index is in memory, its messages are read from disk as they are asked for. Raises `SetupError` when
    the folder is not a recording.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.labels = _read_labels(folder)
        self.index = _read_index(folder)
        self._deploys = _read_deploys(folder)
        self._bytes: dict[Signal, mmap.mmap] = {}

    def __enter__(self) -> Self:
        for signal in {entry.signal for entry in self.index}:
            self._bytes[signal] = _map(_required(self.folder, f"{signal}.otlp"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for mapped in self._bytes.values():
            mapped.close()

    def deploys(self, tenant: str) -> list[Deploy]:
        """Return what was announced, in the order of time, as deploys of ``tenant``."""
        return [deploy.event(tenant, number) for number, deploy in enumerate(self._deploys)]

    def messages(self) -> Iterator[RecordedMessage]:
        """Yield all messages in the order of their arrival."""
        for entry in self.index:
            begin = entry.offset + LENGTH_PREFIX.size
            value = self._bytes[entry.signal][begin : begin + entry.length]
            if len(value) != entry.length:
                raise SetupError(f"{self.folder}: {entry.signal}.otlp is shorter than its index says", "copy it again")
            yield RecordedMessage(entry.arrival_ns, entry.signal, value)


class RecordingWriter:
    """A recording being made. Append messages, then `finish` it with its labels."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SetupError(f"{folder} is not empty", "name a folder that does not exist yet")
        self.folder = folder
        self._files: dict[Signal, BinaryIO] = {}
        self._index: list[IndexEntry] = []

    def append(self, message: RecordedMessage, items: int) -> None:
        """Add one message holding ``items`` spans, data points or log records."""
        file = self._files.get(message.signal)
        if file is None:
            file = self._files[message.signal] = (self.folder / f"{message.signal}.otlp").open("wb")
        entry = IndexEntry(message.arrival_ns, message.signal, file.tell(), len(message.value), items)
        file.write(LENGTH_PREFIX.pack(entry.length) + message.value)
        self._index.append(entry)

    def finish(self, labels: Labels, deploys: Sequence[RecordedDeploy] = ()) -> None:
        """Write index, labels and, if there were any, deploys; compress the rest."""
        for file in self._files.values():
            file.close()
        for signal in self._files:
            _compress(self.folder / f"{signal}.otlp")
        _write_index(self.folder / "index.csv", sorted(self._index, key=lambda entry: entry.arrival_ns))
        _compress(self.folder / "index.csv")
        (self.folder / "labels.json").write_text(labels.model_dump_json(indent=1) + "\n")
        if deploys:
            (self.folder / "deploys.json").write_bytes(_DEPLOYS.dump_json(list(deploys), indent=1) + b"\n")


def _read_labels(folder: Path) -> Labels:
    path = folder / "labels.json"
    try:
        return Labels.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise SetupError(f"{folder} is not a recording: it has no labels.json", "see docs/recordings.md") from error
    except ValidationError as error:
        raise SetupError(f"{path} is not as docs/recordings.md says: {error}", "correct it") from error


def _read_deploys(folder: Path) -> list[RecordedDeploy]:
    path = folder / "deploys.json"
    if not path.exists():
        return []
    try:
        return sorted(_DEPLOYS.validate_json(path.read_bytes()), key=lambda deploy: deploy.at_unix)
    except ValidationError as error:
        raise SetupError(f"{path} is not as docs/recordings.md says: {error}", "correct it") from error


def _read_index(folder: Path) -> list[IndexEntry]:
    mapped = _map(_required(folder, "index.csv"))
    with io.TextIOWrapper(io.BytesIO(mapped[:]), encoding="ascii", newline="") as lines:
        rows = csv.reader(lines)
        if tuple(next(rows, ())) != INDEX_HEADER:
            raise SetupError(
                f"{folder}: the index does not begin with {','.join(INDEX_HEADER)}", "see docs/recordings.md"
            )
        index = [_entry(folder, row) for row in rows]
    mapped.close()
    return sorted(index, key=lambda entry: entry.arrival_ns)


def _entry(folder: Path, row: list[str]) -> IndexEntry:
    try:
        arrival, signal, offset, length, items = row
        known = next(name for name in SIGNALS if name == signal)
        return IndexEntry(int(arrival), known, int(offset), int(length), int(items))
    except (ValueError, StopIteration) as error:
        raise SetupError(f"{folder}: the index has a bad line: {','.join(row)[:100]}", "make it again") from error


def _required(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.zst"):
        if path.is_file():
            return path
    raise SetupError(f"{folder} has neither {name} nor {name}.zst", "see docs/recordings.md")


def _map(path: Path) -> mmap.mmap:
    """Map a file into memory; a compressed one by way of an unnamed temporary file, so that memory stays small."""
    if path.suffix != ".zst":
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with path.open("rb") as packed, tempfile.TemporaryFile() as unpacked:
        zstandard.ZstdDecompressor().copy_stream(packed, unpacked, write_size=COPY_BYTES)
        unpacked.flush()
        return mmap.mmap(unpacked.fileno(), 0, access=mmap.ACCESS_READ)


def _write_index(path: Path, index: list[IndexEntry]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(INDEX_HEADER)
        rows.writerows((e.arrival_ns, e.signal, e.offset, e.length, e.items) for e in index)


def _compress(path: Path) -> None:
    with path.open("rb") as plain, path.with_name(f"{path.name}.zst").open("wb") as packed:
        zstandard.ZstdCompressor(level=ARCHIVE_LEVEL).copy_stream(plain, packed)
    path.unlink()
