"""Compile whatever is compiled before it is needed, or load it where an earlier process kept it."""

from __future__ import annotations

from streams import flat_columns
from streams.otlp import walker


def warm_up() -> None:
    """Take a minute of one core the first time on a machine, and a second or two afterwards."""
    walker.warm_up()
    flat_columns.warm_up()
