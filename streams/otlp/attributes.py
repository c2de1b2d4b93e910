"""Read the few attributes that matter out of unparsed key-value bytes, and intern names."""

from __future__ import annotations

from collections.abc import Container, Iterable

from google.protobuf.message import DecodeError

from streams.otlp.slim import KeyValue

MAX_NAME = 256
"""Characters of a service, operation or node name; the rest is cut and counted."""

_KEY_TAG = 0x0A


class Names:
    """Interns the names of one message; repairs what is not UTF-8 and cuts what is too long."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.repaired = 0
        self.truncated = 0
        self._by_bytes: dict[bytes, int] = {}
        self._by_text: dict[str, int] = {}

    def of_bytes(self, raw: bytes) -> int:
        """Return the index of a name as it is on the wire."""
        index = self._by_bytes.get(raw)
        if index is None:
            index = self._by_bytes[raw] = self.of_text(self._text(raw))
        return index

    def of_text(self, text: str) -> int:
        """Return the index of a name."""
        if len(text) > MAX_NAME:
            text = text[:MAX_NAME]
            self.truncated += 1
        index = self._by_text.get(text)
        if index is None:
            index = self._by_text[text] = len(self.names)
            self.names.append(text)
        return index

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.repaired += 1
            return raw.decode(errors="replace")


def read_attributes(raws: Iterable[bytes], wanted: Container[bytes]) -> dict[str, str]:
    """Return the wanted attributes of unparsed ``KeyValue`` messages as text; the last of equal keys wins."""
    found: dict[str, str] = {}
    for raw in raws:
        if len(raw) < 2:
            continue
        if raw[0] == _KEY_TAG and raw[1] < 0x80 and raw[2 : 2 + raw[1]] not in wanted:
            continue
        pair = _read_pair(raw)
        if pair is not None and pair[0] in wanted:
            found[pair[0].decode(errors="replace")] = pair[1]
    return found


def _read_pair(raw: bytes) -> tuple[bytes, str] | None:
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError:
        return None
    value = pair.value
    if value.string_value:
        return pair.key, value.string_value.decode(errors="replace")
    if value.int_value:
        return pair.key, str(value.int_value)
    return pair.key, ""
