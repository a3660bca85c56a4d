"""Each limit of the listener is kept, said to the client and counted, on a fresh connection as after ready answers."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from onehop.listener_limits import RANGES
from router.http1.limits import HttpLimits
from router.metrics.catalogue import ENDINGS, REFUSALS, Ending, Metric, Refusal
from router.metrics.reading import Reading
from tests.hardening.listener import Listener, split_answers
from tests.hardening.test_ready_connections import serving_ready, warm
from tests.router.doors import request

SHORT_S = 0.2


@dataclass(frozen=True)
class Passed:
    """What passes a limit: `sent`, after which `status` is the last answer; None: the connection ends without one."""

    limits: HttpLimits
    sent: bytes
    status: int | None
    metric: Metric
    label: str


def post(*fields: str, body: bytes = b"") -> bytes:
    return request("/", *fields, method="POST") + body


PASSED = {
    "target_bytes_max": Passed(
        HttpLimits(target_bytes_max=300), request("/?" + "q" * 400), 414, REFUSALS, Refusal.TARGET_TOO_LONG
    ),
    "header_bytes_max": Passed(
        HttpLimits(header_bytes_max=1024), request("/", "X: " + "y" * 1100), 431, REFUSALS, Refusal.HEADERS_TOO_LARGE
    ),
    "header_count_max": Passed(
        HttpLimits(header_count_max=10), request("/", *["X: y"] * 10), 431, REFUSALS, Refusal.TOO_MANY_HEADERS
    ),
    "body_bytes_max": Passed(
        HttpLimits(body_bytes_max=10), post("Content-Length: 11"), 413, REFUSALS, Refusal.BODY_TOO_LARGE
    ),
    "head_s": Passed(HttpLimits(head_s=SHORT_S), request()[:-2], 408, REFUSALS, Refusal.TOO_SLOW),
    "idle_s": Passed(HttpLimits(idle_s=SHORT_S), b"", None, ENDINGS, Ending.IDLE),
    "window_s": Passed(
        HttpLimits(window_s=SHORT_S), post("Content-Length: 9999", body=b"x"), 405, REFUSALS, Refusal.STALLED
    ),
    "requests_count_max": Passed(HttpLimits(requests_count_max=5), request(), 200, ENDINGS, Ending.REQUESTS),
    "drained_bytes_max": Passed(
        HttpLimits(drained_bytes_max=100), post("Content-Length: 101"), 405, ENDINGS, Ending.UNREAD_BODY
    ),
}
IN_OTHER_TESTS = {
    "connections_count_max": "test_connections",
    "connections_per_address_max": "test_connections",
    "window_bytes_min": "test_slow_clients",
    "linger_s": "test_slow_clients",
    "linger_bytes_max": "test_slow_clients",
}


def count_of(listener: Listener, passed: Passed) -> int:
    reading = Reading(tuple(listener.cells))
    label = "reason" if passed.metric is REFUSALS else "limit"
    return reading.count(passed.metric, listener="edge", **{label: passed.label})


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("name", PASSED)
def test_30_a_limit_that_is_passed_ends_the_connection_and_is_counted(tmp_path: Path, name: str, is_warm: bool) -> None:
    passed = PASSED[name]
    with serving_ready(tmp_path, passed.limits) as listener, listener.connect() as client:
        warm(client, request(), times=4 if is_warm or name == "requests_count_max" else 0)
        client.send(passed.sent)
        answers = split_answers(client.read_to_end())
        assert [answer.status for answer in answers] == ([passed.status] if passed.status is not None else [])
        assert name == "window_s" or all(answer.headers["connection"] == "close" for answer in answers)
        assert count_of(listener, passed) == 1
    assert getattr(passed.limits, name) != getattr(HttpLimits(), name)


def test_every_limit_that_can_be_set_has_a_test() -> None:
    assert PASSED.keys() | IN_OTHER_TESTS.keys() == RANGES.keys()
