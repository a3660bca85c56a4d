"""The listener's meter: what it calls the ways in which clients are refused."""

from http import HTTPStatus

import pytest

from router.metrics.catalogue import CONNECTIONS, CONNECTIONS_OPENED, FAILURES, REFUSALS, Refusal, cell
from router.metrics.meter import ListenerMeter
from router.metrics.reading import Reading
from router.metrics.slot import unshared_cells


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (HTTPStatus.BAD_REQUEST, Refusal.BAD_REQUEST),
        (HTTPStatus.REQUEST_TIMEOUT, Refusal.TOO_SLOW),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Refusal.BODY_TOO_LARGE),
        (HTTPStatus.REQUEST_URI_TOO_LONG, Refusal.TARGET_TOO_LONG),
        (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, Refusal.HEADERS_TOO_LARGE),
        (HTTPStatus.SERVICE_UNAVAILABLE, Refusal.CONNECTIONS_FULL),
        (HTTPStatus.EXPECTATION_FAILED, Refusal.UNSUPPORTED),
        (HTTPStatus.NOT_IMPLEMENTED, Refusal.UNSUPPORTED),
        (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, Refusal.UNSUPPORTED),
    ],
)
def test_a_refusal_is_counted_by_its_reason(status: HTTPStatus, reason: Refusal) -> None:
    cells = unshared_cells()
    ListenerMeter(cells, "edge").refused(status)
    reading = Reading(tuple(cells))
    assert reading.count(REFUSALS, listener="edge", reason=reason) == 1
    assert reading.count(REFUSALS) == 1


def test_connections_come_and_go() -> None:
    cells = unshared_cells()
    meter = ListenerMeter(cells, "api")
    for _ in range(3):
        meter.opened()
    meter.closed()
    assert cells[cell(CONNECTIONS)] == 2
    assert Reading(tuple(cells)).count(CONNECTIONS_OPENED, listener="api") == 3


def test_stalls_and_failures_have_counts_of_their_own() -> None:
    cells = unshared_cells()
    meter = ListenerMeter(cells, "edge")
    meter.stalled()
    meter.failed()
    reading = Reading(tuple(cells))
    assert reading.count(REFUSALS, reason="stalled") == 1
    assert reading.count(FAILURES, listener="edge") == 1
