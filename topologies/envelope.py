"""What the headers of a raw record say: whose it is, and which clock it is on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, TICK_HEADER, is_tenant
from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a record's headers say. ``tenant`` is None when the header is missing or not a tenant id."""

    tenant: str | None
    driven_ns: int | None
    is_tick: bool
    """If it has no value; else the header means nothing."""


def read_envelope(headers: Sequence[tuple[str, bytes]]) -> Envelope:
    """Read the headers of a raw record; two different tenants are as good as none."""
    tenants = {value for name, value in headers if name.lower() == TENANT_HEADER}
    text = tenants.pop().decode("ascii", "replace") if len(tenants) == 1 else ""
    arrivals = [value for name, value in headers if name == ARRIVAL_HEADER]
    return Envelope(
        tenant=text if is_tenant(text) else None,
        driven_ns=_instant_ns(arrivals[0]) if arrivals else None,
        is_tick=any(name == TICK_HEADER for name, _ in headers),
    )


def tenant_of(envelope: Envelope, settings: Settings) -> str | None:
    """Return whose record it is, by the setting where the headers do not say; None is nobody's."""
    return envelope.tenant or (settings.default_tenant if settings.missing_tenant == "default" else None)


def _instant_ns(digits: bytes) -> int | None:
    if not digits.isdigit() or len(digits) > 19:
        return None
    instant_ns = int(digits)
    return instant_ns if 0 < instant_ns < 2**63 else None
