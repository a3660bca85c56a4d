"""An instance's events as they come: those that are kept past a cursor, then new ones, until it has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from workflows.client import Client

POLL_S: Final = 0.1


async def subscribe(
    client: "Client", seq: int, instance_id: str, *, cursor: int | None, wanted: Callable[[dict[str, Any]], bool] | None
) -> AsyncIterator[dict[str, Any]]:
    """Yields {instanceId, eventId, timestamp, type, ...}. Ends after a terminal event, also one that `wanted` hides.

    Ends too once the instance is gone. A restart begins its log anew, with higher ids: a subscription lives through it.
    """
    after = cursor or 0
    while True:
        events = client.reads.feed(seq, after=after)
        for event in events:
            after = event.id
            document = event.document(instance_id)
            if wanted is None or wanted(document):
                yield document
            if event.is_terminal and not client.reads.is_live(seq):
                return
        if not events:
            if not client.reads.is_live(seq):
                return
            await asyncio.sleep(POLL_S)
