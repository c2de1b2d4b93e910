"""Recordings of one system as a deployment would have lived through them."""

from __future__ import annotations

import json
from pathlib import Path

from streams.scoring import Fault
from topologies.continuing import distinct, one_after_another, system_of, systems_of
from topologies.recordings import Labels, RecordedMessage, RecordingWriter


def at(*arrivals_ns: int) -> list[RecordedMessage]:
    """Return messages that say when they arrived."""
    return [RecordedMessage(arrival_ns, "traces", str(arrival_ns).encode()) for arrival_ns in arrivals_ns]


def kept(folder: Path, name: str, start_s: float, system: str = "") -> Path:
    """Write a recording of one message."""
    writer = RecordingWriter(folder / name)
    writer.append(RecordedMessage(int(start_s), "traces", b"x"), 1)
    writer.finish(Labels(name=name, system=system, start_unix=start_s, end_unix=start_s + 10))
    return folder / name


def test_what_two_recordings_hold_both_is_heard_once() -> None:
    """By the time of its arrival: what had arrived when the first one ended is over, however much it repeats."""
    played = list(one_after_another([at(1, 3, 3, 5), at(2, 4, 5, 6, 6, 9)]))
    assert [message.arrival_ns for message in played] == [1, 3, 3, 5, 6, 6, 9]
    assert list(one_after_another([at(1, 9), at(2, 8), at(10)])) == at(1, 9, 10)


def test_the_system_is_as_labelled_or_else_the_name_before_its_last_hyphen() -> None:
    """A name without a hyphen is a system of its own."""
    labelled = Labels(name="shop-1", system="the shop", start_unix=0, end_unix=1)
    assert system_of(labelled) == "the shop"
    assert [system_of(Labels(name=name, start_unix=0, end_unix=1)) for name in ("a-b-03", "quiet")] == ["a-b", "quiet"]


def test_recordings_of_a_system_come_in_the_order_of_their_start(tmp_path: Path) -> None:
    """Whatever order the folders are given in."""
    late, early = kept(tmp_path, "shop-1", 200.0), kept(tmp_path, "shop-2", 100.0)
    other = kept(tmp_path, "other-1", 150.0)
    told = kept(tmp_path, "x", 50.0, "shop")
    assert systems_of([late, other, early, told]) == {"shop": [told, early, late], "other": [other]}
    assert json.loads((told / "labels.json").read_text())["system"] == "shop"


def test_a_fault_that_two_recordings_tell_of_is_one() -> None:
    """The same id and start; an id that is used again later is another fault."""
    one, same, other = Fault("a", 1.0, "cart"), Fault("a", 1.0, "cart"), Fault("a", 2.0, "cart")
    assert distinct([one, same, other]) == [one, other]
