"""The command line, as a person meets it: as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import httpx
import pytest

from deploy.embedded.ports import any_free_port

INCIDENTSCOPE = str(Path(sys.executable).with_name("incidentscope"))
COMMANDS = ("up", "demo", "worker", "api", "migrate", "topics", "replay", "evaluate", "fit", "record", "doctor", "dlq")
PATIENCE_S = 180.0


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment with these settings and no others of ours."""
    ours = {f"INCIDENTSCOPE_{name.upper()}": value for name, value in settings.items()}
    return {**os.environ, "INCIDENTSCOPE_DATA_DIR": str(folder / "data"), "NO_COLOR": "1", "COLUMNS": "160", **ours}


async def incidentscope(folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run a command to its end; return its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        INCIDENTSCOPE, *arguments, cwd=folder, env=environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_help_names_every_command(tmp_path: Path) -> None:
    """The first thing a newcomer types; what each command says of itself is in `tests/unit/test_command_help.py`."""
    status, said = await incidentscope(tmp_path, "--help")
    assert status == 0
    assert all(command in said for command in COMMANDS)


@pytest.mark.parametrize("command", ["worker", "api", "migrate"])
async def test_a_distributed_command_without_services_says_what_to_set(tmp_path: Path, command: str) -> None:
    """Status 2, the names of the settings, and the way that needs none."""
    status, said = await incidentscope(tmp_path, command)
    assert status == 2
    assert "INCIDENTSCOPE_KAFKA_BROKERS" in said
    assert "incidentscope up" in said


async def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path) -> None:
    """No traceback, and nothing that could be a secret."""
    status, said = await incidentscope(tmp_path, "up", partitions="hunter2")
    assert status == 2
    assert "INCIDENTSCOPE_PARTITIONS" in said
    assert "Traceback" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("wrong", "said_so"),
    [
        ({"alert_webhook_url": "http://example.com/x"}, "no secret to sign with"),
        ({"api_keys": "nocolon"}, "entry 1 of INCIDENTSCOPE_API_KEYS"),
        ({"pane_s": "7"}, "no multiple of INCIDENTSCOPE_PANE_S"),
        ({"default_tenant": "a b"}, "INCIDENTSCOPE_DEFAULT_TENANT: a tenant is"),
        ({"api_host": "192.0.2.1"}, "set INCIDENTSCOPE_API_HOST"),
    ],
)
async def test_settings_that_cannot_work_are_refused_before_anything_starts(
    tmp_path: Path, wrong: dict[str, str], said_so: str
) -> None:
    """In a line that says what is wrong, with no greeting before it."""
    status, said = await incidentscope(tmp_path, "up", **wrong)
    assert (status, "Traceback" in said, "is up" in said) == (2, False, False), said
    assert said_so in said


async def test_a_variable_that_is_no_setting_is_named_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    """A typo would say nothing otherwise, and an embedded broker would start in place of the real one."""
    _, said = await incidentscope(tmp_path, "topics", kafka_broker="127.0.0.1:1")
    assert "INCIDENTSCOPE_KAFKA_BROKER is no setting; is INCIDENTSCOPE_KAFKA_BROKERS meant?" in said


async def test_topics_without_a_broker_says_how_to_get_one(tmp_path: Path) -> None:
    """Nothing runs on the folder and nothing is set."""
    status, said = await incidentscope(tmp_path, "topics")
    assert status == 2
    assert "INCIDENTSCOPE_KAFKA_BROKERS" in said


async def test_doctor_finds_a_fresh_machine_fine(tmp_path: Path) -> None:
    """It starts the embedded stack for the check and ends it."""
    status, said = await incidentscope(tmp_path, "doctor")
    assert status == 0, said
    assert all(word in said for word in ("python", "broker", "postgres", "redis", "clickhouse", "clock"))


async def test_doctor_says_what_to_do_about_what_is_away(tmp_path: Path) -> None:
    """Status 1, the setting to look at, and no password."""
    away = f"postgresql://me:hunter2@127.0.0.1:{any_free_port()}/x"
    status, said = await incidentscope(tmp_path, "doctor", postgres_dsn=away)
    assert status == 1
    assert "BAD   postgres" in said
    assert "INCIDENTSCOPE_POSTGRES_DSN" in said
    assert "hunter2" not in said


async def test_up_explains_a_taken_port(tmp_path: Path) -> None:
    """Before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = await incidentscope(tmp_path, "up", api_port=port)
    assert status == 2
    assert "INCIDENTSCOPE_API_PORT" in said


@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_up_serves_until_ctrl_c_and_starts_again_on_its_data(tmp_path: Path) -> None:
    """The API answers with the key of the first start, in both lives; Ctrl-C ends with status 0."""
    keys = set()
    for _ in range(2):
        port = any_free_port()
        process = await asyncio.create_subprocess_exec(
            INCIDENTSCOPE, "up", cwd=tmp_path, env=environment(tmp_path, api_port=str(port)),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        said = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while b"IncidentScope is up" not in said:
                    line = await process.stderr.readline()
                    assert line, said.decode()
                    said += line
            key_file = tmp_path / "data" / "api-key"
            assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
            keys.add(key_file.read_text().strip())
            assert key_file.read_text().strip() not in said.decode(), "the key must not reach a log"
            headers = {"authorization": f"Bearer {key_file.read_text().strip()}"}
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
                assert (await client.get("/livez")).status_code == 200
                assert (await client.get("/api/v1/incidents")).status_code == 200
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), PATIENCE_S)
            assert process.returncode == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert len(keys) == 1
