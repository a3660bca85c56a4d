"""One answer of a JSON API, opened."""

from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Answer:
    """One answer: its status and its envelope."""

    status: int
    envelope: dict[str, Any]
    headers: httpx.Headers = field(repr=False)

    @property
    def result(self) -> Any:
        assert self.envelope["success"], self.envelope["errors"]
        return self.envelope["result"]

    @property
    def code(self) -> int:
        assert not self.envelope["success"]
        code: int = self.envelope["errors"][0]["code"]
        return code

    @property
    def message(self) -> str:
        message: str = self.envelope["errors"][0]["message"]
        return message
