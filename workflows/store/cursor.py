"""The opaque token that goes on with a listing: where it stood, and the filter that it belongs to."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import orjson

from workflows.errors import WorkflowError

Direction = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """What a listing shows: a status by number, creation within [from_ms, to_ms], ids with `search` in them."""

    status: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    search: str | None = None
    direction: Direction = "desc"

    def mark(self, workflow_id: str) -> str:
        told = orjson.dumps([workflow_id, self.status, self.from_ms, self.to_ms, self.search, self.direction])
        return sha256(told).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cursor:
    created_on: int
    seq: int
    mark: str

    def encode(self) -> str:
        return urlsafe_b64encode(orjson.dumps([self.created_on, self.seq, self.mark])).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str, mark: str) -> "Cursor":
        """Raises WorkflowError `body` for what is no token of ours, or one of another filter."""
        try:
            created_on, seq, marked = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        except (ValueError, TypeError) as problem:
            raise WorkflowError("body", "the cursor is none of ours") from problem
        if marked != mark or type(created_on) is not int or type(seq) is not int:
            raise WorkflowError(
                "body", "the cursor belongs to another listing: same workflow, filter and direction needed"
            )
        if not (-(2**63) <= created_on < 2**63 and -(2**63) <= seq < 2**63):
            raise WorkflowError("body", "the cursor is none of ours")
        return cls(created_on, seq, marked)
