"""``incidentscope dlq``: look at what was refused, and send it again.

An operator's view: letters of all tenants, also of those whose tenant nobody knows.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from schemas.dead_letters import LetterKey
from schemas.errors import BadPayload, Conflict, NotFound, RejectReason, SetupError
from schemas.settings import Settings
from sinks.postgres import dead_letters
from sinks.postgres.dead_letters import LetterFilter, LetterState, StoredLetter
from sinks.postgres.pool import open_pool
from sinks.replaying import Sender, replay_letter
from topologies.commands import give_up, read_settings, run_to_end, with_running_stack

app = typer.Typer(name="dlq", help="Dead letters: what was refused, why, and sending it again.", no_args_is_help=True)

PAGE = 20
"""Whole letters in memory at a time: each has up to 64 KiB and 50,000 items."""
SHOWN_BYTES = 256

Tell = Callable[[str], None]
TenantOption = Annotated[str | None, typer.Option(help="Only of this tenant; `unknown` is nobody's.")]
TopicOption = Annotated[str | None, typer.Option(help="Only of this topic, otel.traces for instance.")]
ReasonOption = Annotated[RejectReason | None, typer.Option(help="Only refused for this reason.")]
KeyArgument = Annotated[str, typer.Argument(help="topic:partition:offset:item, as `dlq list` shows it.")]


@app.command("list")
def list_command(
    tenant: TenantOption = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    state: Annotated[LetterState | None, typer.Option(help="Only open or only replayed ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the latest.")] = 50,
) -> None:
    """List dead letters, the latest first, and how many there are by reason."""
    wanted = LetterFilter(tenant, topic, reason, state)
    run_to_end(_list(_settings(), wanted, limit, typer.echo))


@app.command("show")
def show_command(
    key: KeyArgument,
    save: Annotated[Path | None, typer.Option(help="Write what is kept of the payload to this file.")] = None,
) -> None:
    """Show one letter and the beginning of its payload. Status 1 when there is no such letter."""
    found = run_to_end(_show(_settings(), _key(key), save, typer.echo))
    raise typer.Exit(0 if found else 1)


@app.command("replay")
def replay_command(
    keys: Annotated[list[str] | None, typer.Argument(help="Letters to send again.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All open letters that the options choose.")] = False,
    tenant: TenantOption = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
) -> None:
    """Send originals through their topics again, as of when they had arrived. However often: stored once.

    Status 1 when some could not be sent, for instance because only a prefix was kept and the original is gone.
    """
    if bool(keys) == everything:
        give_up(
            SetupError("nothing, or too much, is named", "name letters, or use --all with --reason, --topic, --tenant")
        )
    wanted = LetterFilter(tenant, topic, reason, LetterState.OPEN)
    done = run_to_end(_replay(_settings(), [_key(key) for key in keys or []], wanted, typer.echo))
    raise typer.Exit(0 if done else 1)


def _settings() -> Settings:
    return with_running_stack(read_settings(log_to_file=True))


def _key(text: str) -> LetterKey:
    try:
        return LetterKey.parse(text)
    except ValueError as error:
        give_up(SetupError(f"{text!r} names no letter", str(error)))


async def _list(settings: Settings, wanted: LetterFilter, limit: int, tell: Tell) -> None:
    pool = await open_pool(settings, max_connections=1)
    async with pool:
        found = await dead_letters.page(pool, wanted, limit=limit, is_brief=True)
        counts = await dead_letters.counts(pool, wanted)
    for stored in found:
        letter = stored.letter
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(letter.first_seen_ns / 1e9))
        tell(f"{at}  {letter.key:<32} {letter.tenant:<16} {letter.reason:<16} {stored.state:<9} {letter.detail}")
    for (reason, state), count in sorted(counts.items()):
        tell(f"{count:>8} {state} {reason}")
    if not counts:
        tell("no dead letters")


async def _show(settings: Settings, key: LetterKey, save: Path | None, tell: Tell) -> bool:
    pool = await open_pool(settings, max_connections=1)
    async with pool:
        try:
            stored = await dead_letters.get(pool, None, key)
        except NotFound as error:
            tell(str(error))
            return False
    payload = base64.b64decode(stored.letter.payload_base64)
    for name, value in stored.letter.model_dump(exclude={"payload_base64"}, mode="json").items():
        tell(f"{name:<18} {value}")
    tell(f"{'state':<18} {_state(stored)}")
    tell(f"{'payload':<18} {payload[:SHOWN_BYTES]!r}{' …' if len(payload) > SHOWN_BYTES else ''}")
    if save is not None:
        await asyncio.to_thread(save.write_bytes, payload)
    return True


def _state(stored: StoredLetter) -> str:
    if stored.state is LetterState.OPEN:
        return "open"
    return f"replayed to {stored.letter.topic}/{stored.replayed_partition}, offset {stored.replayed_offset}"


async def _replay(settings: Settings, keys: list[LetterKey], wanted: LetterFilter, tell: Tell) -> bool:
    sent = failed = 0
    async with _sender(settings) as sender:
        async for stored in _chosen(sender, keys, wanted):
            try:
                ack = await replay_letter(sender, stored, time.time_ns())
            except (Conflict, BadPayload) as error:
                failed += 1
                tell(f"{stored.letter.key:<32} not sent: {error}")
                continue
            sent += 1
            tell(f"{stored.letter.key:<32} sent to {ack.topic}/{ack.partition}, offset {ack.offset}")
    tell(f"{sent} sent, {failed} not")
    return not failed


async def _chosen(sender: Sender, keys: list[LetterKey], wanted: LetterFilter) -> AsyncIterator[StoredLetter]:
    """Yield the letters that are named, or else all that are wanted, page by page."""
    for key in keys:
        try:
            yield await dead_letters.get(sender.postgres, None, key)
        except NotFound as error:
            raise SetupError(str(error), "`incidentscope dlq list` shows those that there are") from error
    after = None
    while not keys:
        page = await dead_letters.page(sender.postgres, wanted, after=after, limit=PAGE)
        for stored in page:
            yield stored
        if len(page) < PAGE:
            return
        after = page[-1].position


@asynccontextmanager
async def _sender(settings: Settings) -> AsyncIterator[Sender]:
    from sinks.kafka.producer import Producer

    pool = await open_pool(settings, max_connections=1)
    async with pool, Producer(settings) as producer:
        yield Sender(settings, pool, producer)
