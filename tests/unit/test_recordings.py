"""Recordings: what is written is read again, and a broken one is refused with words."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import zstandard

from schemas.errors import SetupError
from topologies.recordings import Labels, RecordedDeploy, RecordedFault, RecordedMessage, Recording, RecordingWriter

LABELS = Labels(
    name="small", start_unix=1.0, end_unix=9.0,
    faults=[RecordedFault(id="one", start_unix=3.0, duration_s=2.0, service="cart", fault="delay")],
)  # fmt: skip

MESSAGES = [
    RecordedMessage(3_000, "traces", b"third"),
    RecordedMessage(1_000, "logs", b"first"),
    RecordedMessage(2_000, "traces", b""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a small recording."""
    writer = RecordingWriter(tmp_path / "small")
    for message in MESSAGES:
        writer.append(message, items=1)
    writer.finish(LABELS)
    return tmp_path / "small"


def test_a_recording_reads_back_in_the_order_of_arrival_with_its_labels(folder: Path) -> None:
    """Writing order does not matter, an empty message is one too."""
    with Recording(folder) as recording:
        assert list(recording.messages()) == sorted(MESSAGES, key=lambda message: message.arrival_ns)
        assert recording.labels == LABELS
    assert {path.name for path in folder.iterdir()} == {
        "traces.otlp.zst", "logs.otlp.zst", "index.csv.zst", "labels.json"
    }  # fmt: skip


def test_a_recording_may_be_uncompressed_and_its_files_are_length_prefixed(folder: Path) -> None:
    """Both spellings of a file are the same recording."""
    for path in list(folder.glob("*.zst")):
        path.with_suffix("").write_bytes(zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read())
        path.unlink()
    assert (folder / "traces.otlp").read_bytes() == struct.pack(">I", 5) + b"third" + struct.pack(">I", 0)
    with Recording(folder) as recording:
        assert [message.value for message in recording.messages()] == [b"first", b"", b"third"]


def test_a_folder_without_labels_is_not_a_recording(tmp_path: Path) -> None:
    """The message says which file is missing."""
    with pytest.raises(SetupError, match=r"labels\.json"):
        Recording(tmp_path)


def test_a_bad_line_of_the_index_is_refused(folder: Path) -> None:
    """A signal we do not know is not skipped."""
    (folder / "index.csv.zst").unlink()
    (folder / "index.csv").write_text("arrival_unix_nano,signal,offset,length,items\n1,profiles,0,5,1\n")
    with pytest.raises(SetupError, match="profiles"):
        Recording(folder)


def test_a_truncated_file_is_noticed(folder: Path) -> None:
    """A message is whole or an error."""
    (folder / "traces.otlp.zst").write_bytes(zstandard.ZstdCompressor().compress(struct.pack(">I", 5) + b"thi"))
    with Recording(folder) as recording, pytest.raises(SetupError, match="shorter"):
        list(recording.messages())


def test_labels_of_a_wrong_shape_are_refused(folder: Path) -> None:
    """A fault without a service cannot be judged."""
    labels = json.loads((folder / "labels.json").read_text())
    del labels["faults"][0]["service"]
    (folder / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(SetupError, match="service"):
        Recording(folder)


def test_a_recording_is_never_written_over_something(folder: Path) -> None:
    """A second recording needs a folder of its own."""
    with pytest.raises(SetupError, match="not empty"):
        RecordingWriter(folder)


def test_deploys_are_read_back_as_the_tenant_was_told_of_them(tmp_path: Path) -> None:
    """In the order of time, each with an id that is the same at every reading; a recording may have none."""
    announced = [
        RecordedDeploy(service="cart", version="1.5.0", environment="demo", at_unix=4.5),
        RecordedDeploy(service="ads", version="2.0", kind="rollback", at_unix=2.25),
    ]
    writer = RecordingWriter(tmp_path / "deployed")
    writer.finish(LABELS, announced)
    first, second = Recording(tmp_path / "deployed").deploys("acme")
    assert (first.service, first.kind, first.at_ns, first.tenant) == ("ads", "rollback", 2_250_000_000, "acme")
    assert (second.service, second.version, second.environment) == ("cart", "1.5.0", "demo")
    assert first.deploy_id != second.deploy_id
    assert Recording(tmp_path / "deployed").deploys("acme") == [first, second]


def test_a_recording_without_deploys_has_none_and_wrong_ones_are_refused(folder: Path) -> None:
    """The message names the file."""
    assert Recording(folder).deploys("acme") == []
    (folder / "deploys.json").write_text('[{"version": "1"}]')
    with pytest.raises(SetupError, match=r"deploys\.json"):
        Recording(folder)
