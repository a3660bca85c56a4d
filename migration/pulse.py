"""What a job's process says of itself all the time, beside its progress in the store: that it lives, how fast it is,
what it waits for. A file of a few bytes, worth as much as the process that wrote it, and made anew by the next.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Pulse:
    """`at_s` is Unix time by the job's own clock. `pending` deployments, of `collected` at that time, are done and wait
    for the pace to allow them; `per_s` is the rate of the last seconds, None until there are some; `waiting_for` is
    empty while it works."""

    job: str
    at_s: float
    guard: str
    waiting_for: str = ""
    collected: int = 0
    pending: float = 0.0
    per_s: float | None = None


def write_pulse(path: Path, pulse: Pulse) -> None:
    """Whole or not at all to whoever reads. Raises OSError."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(dataclasses.asdict(pulse)))
    temporary.replace(path)


def read_pulse(path: Path, job: str) -> Pulse | None:
    """None where that job has written none, or the file can't be read."""
    try:
        pulse = Pulse(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return pulse if pulse.job == job else None
