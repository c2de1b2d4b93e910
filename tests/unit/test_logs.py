"""Log lines: JSON where nobody looks at a terminal, and no secret in any of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from topologies import logs


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Any]:
    """Log to a file, and read it back line by line."""
    path = tmp_path / "log"
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", to=path)
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_a_line_is_one_json_object(lines: Any) -> None:
    """What happened, how bad it is, when, and the facts."""
    structlog.get_logger().info("window_closed", service="checkout", requests=812)
    (line,) = lines()
    assert line["event"] == "window_closed"
    assert line["level"] == "info"
    assert line["requests"] == 812
    assert line["at"].endswith("Z")


def test_libraries_speak_the_same_way_but_only_when_something_is_wrong(lines: Any) -> None:
    """Their chatter is not ours."""
    logging.getLogger("aiokafka.consumer").info("fetching")
    logging.getLogger("aiokafka.consumer").warning("connection lost")
    assert [line["event"] for line in lines()] == ["connection lost"]


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://me:hunter2@db:5432/x",
        "redis://:hunter2@127.0.0.1:6379/0 is away",
        "sent authorization: Bearer hunter2",
        "postgresql://me:p@hunter2@db:5432/x",
        "redis://:p/hunter2@127.0.0.1:6379/0",
        "postgresql://db/x?user=me&password=hunter2",
    ],
)
def test_passwords_in_text_are_masked(lines: Any, text: str) -> None:
    """Errors of drivers quote addresses."""
    structlog.get_logger().warning("store_unavailable", error=text, all=[text])
    logging.getLogger("x").error(text)
    assert "hunter2" not in str(lines())
    assert "***" in str(lines())


def test_the_address_of_a_webhook_is_not_told_at_any_level(lines: Any, tmp_path: Path) -> None:
    """Whoever knows the path of many a webhook may post to it."""
    logs.configure("debug", to=tmp_path / "log")
    for name in ("httpx", "httpcore.http11"):
        logging.getLogger(name).info("HTTP Request: POST https://hooks.example.com/services/hunter2")
    logging.getLogger("aiokafka").debug("fetching")
    assert [line["event"] for line in lines()] == ["fetching"]


def test_a_compiler_does_not_tell_its_every_step_at_any_level(lines: Any, tmp_path: Path) -> None:
    """Each would be formatted: compiling took minutes."""
    logs.configure("debug", to=tmp_path / "log")
    logging.getLogger("numba.core.ssa").debug("on stmt: return")
    assert lines() == []


def test_values_under_telling_names_are_masked(lines: Any) -> None:
    """Whoever logs a password by its name did not mean to."""
    structlog.get_logger().info("starting", kafka_password="hunter2", api_key="hunter2", tenant="acme")
    (line,) = lines()
    assert "hunter2" not in str(line)
    assert line["tenant"] == "acme"


def test_a_traceback_is_in_the_line_without_its_secrets(lines: Any) -> None:
    """One line a thing that happened, also for a bug."""
    try:
        raise ValueError("bad dsn postgresql://me:hunter2@db/x")
    except ValueError:
        structlog.get_logger().exception("stage_failed")
    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert "hunter2" not in str(line)
