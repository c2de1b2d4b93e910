"""Deploys as clients announce and see them."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.parameters import CLEAN_TEXT, Instant, rfc3339
from schemas.incidents import Deploy

DEPLOY_ID_PATTERN = r"^[A-Za-z0-9._:/@+-]{1,128}$"


class DeployRequest(BaseModel):
    """A change that went live."""

    model_config = ConfigDict(extra="forbid")

    service: Annotated[
        str, Field(min_length=1, max_length=256, description="`service.name` of what changed."), CLEAN_TEXT
    ]
    deploy_id: Annotated[
        str | None,
        Field(
            pattern=DEPLOY_ID_PATTERN,
            description="Your id of it, unique in your tenant. Sending the same again changes nothing."
            " Without it, one is made from the Idempotency-Key header, or from the content.",
        ),
    ] = None
    version: Annotated[str, Field(max_length=256), CLEAN_TEXT] = ""
    environment: Annotated[str, Field(max_length=128), CLEAN_TEXT] = ""
    kind: Literal["deploy", "rollback", "config"] = "deploy"
    at: Annotated[Instant | None, Field(description="When it went live; the time of the request if not given.")] = None
    url: Annotated[
        str,
        Field(max_length=2048, pattern=r"^(https?://[^\s<>\"]+)?$", description="Where to read about it."),
        CLEAN_TEXT,
    ] = ""
    description: Annotated[str, Field(max_length=4096)] = ""

    def deploy(self, tenant: str, idempotency_key: str | None, received_ns: int) -> Deploy:
        """Return the event. Without any id, equal content at an equal instant is the same deploy."""
        at_ns = received_ns if self.at is None else self.at
        return Deploy(
            deploy_id=self.deploy_id or self._derived_id(idempotency_key, at_ns),
            tenant=tenant,
            service=self.service,
            version=self.version,
            environment=self.environment,
            kind=self.kind,
            at_ns=at_ns,
            source="api",
            url=self.url,
            description=self.description.replace("\0", "\ufffd"),
        )

    def _derived_id(self, idempotency_key: str | None, at_ns: int) -> str:
        basis = ["key", idempotency_key] if idempotency_key else ["content", self.model_dump(exclude={"at"}), at_ns]
        return "dep-" + hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:24]


class DeployView(Deploy):
    """A deploy as it is stored."""

    at: str = Field(description="`at_ns` as text.")

    @classmethod
    def of(cls, deploy: Deploy) -> DeployView:
        """Return the view of a stored deploy."""
        return cls(**deploy.model_dump(), at=rfc3339(deploy.at_ns))


class DeployPage(BaseModel):
    """Deploys, latest first."""

    items: list[DeployView]
    next_cursor: str | None = Field(None, description="Give it as `cursor` for the next page; null on the last.")
