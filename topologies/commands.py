"""What the commands of the command line share: reading settings, and ending with a message and a status.

Exit status: 1 the worker ended unasked, 2 something is missing or wrong before start (the message says what to do), 3 a
service cannot be reached.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError

from schemas.errors import SetupError, StoreError, WorkerFailedError
from schemas.settings import Settings
from topologies import logs

T = TypeVar("T")

PREFIX = "INCIDENTSCOPE_"
_NO_SETTINGS = frozenset({"INCIDENTSCOPE_RECORDINGS"})
"""Says where the tests find recordings."""


def read_settings(*, log_to_file: bool = False) -> Settings:
    """Read the settings and set logging up; to a file for commands that draw on the terminal."""
    try:
        settings = Settings()
    except ValidationError as error:
        give_up(SetupError("some settings cannot be used: " + "; ".join(_wrong(error)), "set them otherwise"))
    for line in unknown_variables(os.environ):
        typer.secho(f"incidentscope: {line}", fg="yellow", err=True)
    if log_to_file:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    logs.configure(settings.log_level, to=settings.data_dir / "incidentscope.log" if log_to_file else None)
    return settings


def _wrong(error: ValidationError) -> Iterator[str]:
    """Yield what is wrong, setting by setting, with what the setting means."""
    for each in error.errors():
        name = str(each["loc"][0]) if each["loc"] else ""
        field = Settings.model_fields.get(name)
        meaning = f" ({field.description})" if field is not None and field.description else ""
        text = each["msg"].removeprefix("Value error, ")
        yield f"{PREFIX}{name.upper()}: {text}{meaning}" if name else text


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that looks like a setting and is none: a typo would say nothing otherwise."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known and name not in _NO_SETTINGS:
            close = get_close_matches(name.upper(), known, n=1)
            yield f"{name} is no setting" + (f"; is {close[0]} meant?" if close else "")


def with_running_stack(settings: Settings) -> Settings:
    """Fill empty addresses from the embedded stack that runs on the data folder, if one does."""
    from deploy.embedded import attached

    return attached(settings) or settings


def real_services(settings: Settings, command: str) -> Settings:
    """Refuse to run a command of the distributed set-up while an address is empty."""
    addresses = {
        "KAFKA_BROKERS": settings.kafka_brokers,
        "CLICKHOUSE_DSN": settings.clickhouse_dsn.get_secret_value(),
        "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }
    missing = [f"INCIDENTSCOPE_{name}" for name, address in addresses.items() if not address]
    if missing:
        problem = f"`incidentscope {command}` needs services of yours, and these are not set: {', '.join(missing)}"
        give_up(SetupError(problem, "set them, or run `incidentscope up`, which has everything embedded"))
    return settings


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end; turn what is wrong before start, or out of reach, into a message and a status."""
    with told_to_the_user():
        return asyncio.run(work)


@contextmanager
def told_to_the_user() -> Iterator[None]:
    """End the command with a message and a status for what is missing, wrong or out of reach."""
    try:
        yield
    except (SetupError, StoreError, WorkerFailedError) as error:
        give_up(error)


def give_up(error: SetupError | StoreError | WorkerFailedError) -> NoReturn:
    """End the command with what is wrong and what to do about it."""
    typer.secho(f"incidentscope: {error}", fg="red", err=True)
    if isinstance(error, WorkerFailedError):
        raise typer.Exit(1)
    if isinstance(error, SetupError):
        raise typer.Exit(2)
    typer.secho("  -> `incidentscope doctor` checks every service and says what to do", fg="red", err=True)
    raise typer.Exit(3)
