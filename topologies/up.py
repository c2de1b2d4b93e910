"""``incidentscope up``: run the product and tell the person at the terminal how to reach it."""

from __future__ import annotations

from rich.console import Console

from schemas.settings import Settings
from sinks.api_keys import KEY_FILE
from topologies.product import Product, running_product


async def run_up(settings: Settings) -> None:
    """Run the product until it ends or this task is cancelled. Raises what ended it."""
    async with running_product(settings) as product:
        greet(product, Console(stderr=True))
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
