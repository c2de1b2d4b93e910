"""``incidentscope up``: run the product and tell the person at the terminal how to reach it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from schemas.settings import Settings
from sinks.api_keys import KEY_FILE
from topologies.product import Product, running_product

SILENCE_NOTE = """\
What was normal before is remembered. While this was stopped nobody could deliver: senders that do not come back
(a demo's shop ended with it) are told as an incident "requests stopped", which ends by itself (no_traffic).
"""


def was_used(data_dir: Path) -> bool:
    """Tell whether a stack has run on this folder before."""
    return (data_dir / "broker").exists()


async def run_up(settings: Settings) -> None:
    """Run the product until it ends or this task is cancelled. Raises what ended it."""
    remembers = was_used(settings.data_dir)
    async with running_product(settings) as product:
        greet(product, Console(stderr=True))
        if remembers:
            Console(stderr=True).print(SILENCE_NOTE, highlight=False)
        await product.ended


def greet(product: Product, console: Console) -> None:
    """Print where things are. The key itself is shown on a terminal only, never to a log."""
    settings = product.settings
    key = product.api_key if console.is_terminal else f"$(cat {settings.data_dir / KEY_FILE})"
    console.print(f"\n[bold]IncidentScope is up.[/bold]  API {product.api_url}/docs   Kafka {product.kafka_address}\n")
    console.print("Send it OTLP:", highlight=False)
    console.print(f"  export OTEL_EXPORTER_OTLP_ENDPOINT={product.api_url}", highlight=False, soft_wrap=True)
    console.print(f'  export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer {key}"', highlight=False, soft_wrap=True)
    console.print("  export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", highlight=False)
    console.print("Ask it:", highlight=False)
    console.print(
        f'  curl -H "Authorization: Bearer {key}" {product.api_url}/api/v1/incidents', highlight=False, soft_wrap=True
    )
    console.print("Ctrl-C ends it; what it knows stays in", str(settings.data_dir), "\n", highlight=False)
