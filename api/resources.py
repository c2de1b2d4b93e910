"""What a route gets handed: the open stores and the settings of the app."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, Request

from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from sinks.stores import Stores


def _stores(request: Request) -> Stores:
    stores = getattr(request.app.state, "stores", None)
    if not isinstance(stores, Stores):
        raise StoreUnavailable("the stores are not open")
    return stores


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _wall_ns() -> int:
    return time.time_ns()


OpenStores = Annotated[Stores, Depends(_stores)]
AppSettings = Annotated[Settings, Depends(_settings)]
WallNs = Annotated[int, Depends(_wall_ns)]
"""The wall clock at the request, as Unix nanoseconds: what "now" means where no instant was given."""
