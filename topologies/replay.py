"""``incidentscope replay``: send a recording through the topics, as fast as asked, in the recording's own time.

::

    deploys ──────────────────────────────────────────────────────────▶ deploys.events, before all else

    messages by arrival ─┐                                            ┌─ header x-arrival-unix-nano
                         ├─▶ schedule ──▶ pace (÷ speed) ──▶ batches ──┤  header x-tenant-id
    ticks, each second ──┘                                            └─▶ otel.traces  otel.metrics  otel.logs

The tenant's clock is driven by the arrival times, so the speed changes nothing but how long it takes. Every
partition of the raw topics that got nothing for a second of recording time gets a tick, so that all sources keep
telling the time; the last tick, five minutes after the end, closes every window.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from schemas.errors import SetupError
from schemas.incidents import Deploy
from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, TICK_HEADER, is_tenant, tenant_key
from schemas.settings import Settings
from schemas.topics import DEPLOYS, LOGS, METRICS, RAW_TOPICS, TRACES
from sinks.kafka.producer import Message, Producer
from topologies.recordings import RecordedMessage, Recording

SECOND_NS = 1_000_000_000
TICK_EVERY_NS = SECOND_NS
LAST_TICK_AFTER_NS = 300 * SECOND_NS

BATCH_MESSAGES = 500
BATCH_BYTES = 4 * 1024 * 1024
"""A batch is in flight at a time; the next leaves when the broker has confirmed all of it."""

SLICE_S = 0.05
"""At a given speed, what is due within this time goes in one batch."""

TOPICS = {"traces": TRACES.name, "metrics": METRICS.name, "logs": LOGS.name}


class Sender(Protocol):
    """What a replay needs of a producer."""

    async def send_many(self, messages: Iterable[Message], /) -> object:
        """Send all, and return when all are confirmed."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to be sent; ``message`` is None for a tick."""

    arrival_ns: int
    topic: str
    partition: int
    message: RecordedMessage | None


def schedule(messages: Iterable[RecordedMessage], partitions: int) -> Iterator[Planned]:
    """Spread messages over the partitions in turn and put ticks between them, all by arrival time.

    At every whole second since the first message each partition that got no message within that second gets a
    tick, and all of them get one `LAST_TICK_AFTER_NS` after the last message. The same messages always give
    the same plan. ``messages`` must be in the order of their arrival.
    """
    every = [(topic.name, partition) for topic in RAW_TOPICS for partition in range(partitions)]
    turns = {topic.name: itertools.cycle(range(partitions)) for topic in RAW_TOPICS}
    heard: set[tuple[str, int]] = set()
    tick_ns = last_ns = None
    for message in messages:
        last_ns = message.arrival_ns
        tick_ns = last_ns if tick_ns is None else tick_ns
        while tick_ns <= message.arrival_ns:
            yield from (Planned(tick_ns, *place, None) for place in every if place not in heard)
            heard.clear()
            tick_ns += TICK_EVERY_NS
        topic = TOPICS[message.signal]
        place = (topic, next(turns[topic]))
        heard.add(place)
        yield Planned(message.arrival_ns, *place, message)
    if last_ns is not None:
        yield from (Planned(last_ns + LAST_TICK_AFTER_NS, *place, None) for place in every)


def to_record(planned: Planned, tenant: str) -> Message:
    """Return what is sent to Kafka for one planned record."""
    headers = [(TENANT_HEADER, tenant.encode()), (ARRIVAL_HEADER, str(planned.arrival_ns).encode())]
    if planned.message is None:
        headers.append((TICK_HEADER, b"1"))
    value = planned.message.value if planned.message else b""
    return Message(planned.topic, value, headers=headers, partition=planned.partition)


def deploy_record(deploy: Deploy) -> Message:
    """Return what is sent to Kafka for a deploy that was announced while recording."""
    headers = [(TENANT_HEADER, deploy.tenant.encode())]
    return Message(DEPLOYS.name, deploy.model_dump_json().encode(), tenant_key(deploy.tenant), headers)


async def paced(plan: Iterable[Planned], speed: float) -> AsyncIterator[list[Planned]]:
    """Yield the plan in batches, each when its first record is due; speed 0 never waits.

    The last tick is due at once: nothing happens in the five minutes before it.
    """
    loop = asyncio.get_running_loop()
    begun_s, first_ns, last_message_ns = loop.time(), None, 0
    batch: list[Planned] = []
    size_bytes = 0
    until_s = 0.0
    for planned in plan:
        first_ns = planned.arrival_ns if first_ns is None else first_ns
        if planned.message is not None:
            last_message_ns = planned.arrival_ns
        paced_ns = min(planned.arrival_ns, last_message_ns + TICK_EVERY_NS)
        due_s = begun_s + (max(paced_ns, first_ns) - first_ns) / SECOND_NS / speed if speed else 0.0
        if batch and (due_s > until_s or len(batch) >= BATCH_MESSAGES or size_bytes >= BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        if not batch:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            until_s = due_s + SLICE_S
        batch.append(planned)
        size_bytes += len(planned.message.value) if planned.message else 0
    if batch:
        yield batch


async def send_recording(
    recording: Recording,
    producer: Sender,
    *,
    partitions: int,
    tenant: str,
    speed: float = 0.0,
    on_sent: Callable[[int, int], None] = lambda messages, arrival_ns: None,
) -> None:
    """Send all deploys, messages and ticks of a recording; each batch is confirmed before the next leaves.

    Deploys go first: rankings look at those before their own instant only, so none can come too late or too early.
    ``on_sent`` is told, after each batch, how many messages it held and the arrival time it reached. Raises
    `StoreUnavailable` when the broker goes away: what was sent stays, start again under another tenant.
    """
    await producer.send_many(deploy_record(deploy) for deploy in recording.deploys(tenant))
    async for batch in paced(schedule(recording.messages(), partitions), speed):
        await producer.send_many(to_record(planned, tenant) for planned in batch)
        on_sent(sum(planned.message is not None for planned in batch), batch[-1].arrival_ns)


async def run_replay(settings: Settings, folder: Path, *, speed: float, tenant: str = "") -> None:
    """Replay a recording into running topics with a progress bar; what ``incidentscope replay`` does."""
    tenant = tenant or default_tenant(folder)
    if not is_tenant(tenant):
        raise SetupError(f"{tenant!r} cannot be a tenant", "use letters, digits, '.', '_' or '-', at most 64")
    with Recording(folder) as recording:
        async with Producer(settings) as producer:
            with Bar(recording) as bar:
                await send_recording(
                    recording, producer, partitions=settings.partitions, tenant=tenant, speed=speed, on_sent=bar.advance
                )
        Console(stderr=True).print(f"{len(recording.index)} messages sent as tenant {tenant}.", highlight=False)
        Console(stderr=True).print(_how_to_look(tenant), highlight=False, soft_wrap=True)


def _how_to_look(tenant: str) -> str:
    """Return how to see what came of it: a key opens one tenant, and a tenant whose time is past it sees late data."""
    return (
        f"The API shows it to a key of that tenant: INCIDENTSCOPE_API_KEYS=<key>:{tenant}\n"
        "A tenant that had telemetry of later times takes a recording as late: no incident opens. Name a new one then."
    )


def default_tenant(folder: Path) -> str:
    """Return the tenant a recording is replayed as when none is named."""
    return f"replay-{folder.resolve().name}"


class Bar:
    """A progress bar over the messages of a recording that shows the recording's own clock as well."""

    def __init__(self, recording: Recording) -> None:
        self._first_ns = recording.index[0].arrival_ns if recording.index else 0
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("recording at {task.fields[at]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._task: TaskID = self._progress.add_task(recording.labels.name, total=len(recording.index), at="0:00")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def advance(self, messages: int, arrival_ns: int) -> None:
        """Show that ``messages`` more were sent, and the recording time reached."""
        minutes, seconds = divmod(max(0, arrival_ns - self._first_ns) // SECOND_NS, 60)
        self._progress.update(self._task, advance=messages, at=f"{minutes}:{seconds:02}")
