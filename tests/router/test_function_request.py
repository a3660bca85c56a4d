"""A request as a function gets it, and its answer as a client does: made anew, nothing of a hop passed on."""

import orjson
import pytest

from asset_server.url import parse_target
from functions.workerd_http import AnswerStart
from router.edge import EdgeRequest, FunctionFirst
from router.function_request import FunctionRequest, answer_fields
from router.metrics.meter import UNFOUND
from router.pipeline import Pipeline

PIPELINE = Pipeline(7, "M" * 22, function="F" * 22)


def request_of(
    *fields: tuple[bytes, bytes], method: str = "GET", target: bytes = b"/", may_upgrade: bool = True
) -> FunctionRequest:
    edge_request = EdgeRequest(
        method=method, target=target, host=b"A.pages.test:80", scheme="https", headers=[(b"host", b"x"), *fields],
        client="192.0.2.1", received_ns=0,
    )  # fmt: skip
    first = FunctionFirst(PIPELINE, parse_target(target), UNFOUND)
    return FunctionRequest.of(first, edge_request, may_upgrade=may_upgrade)


def sent(request: FunctionRequest) -> list[tuple[bytes, bytes]]:
    return list(request.ask_head(cf={"colo": "X"}, watched_until_ms=0).fields)


def test_fields_of_the_hop_and_those_that_connection_names_end_here() -> None:
    fields = sent(
        request_of(
            (b"connection", b"keep-alive, X-Named"), (b"x-named", b"1"), (b"keep-alive", b"1"), (b"te", b"trailers"),
            (b"transfer-encoding", b"chunked"), (b"trailer", b"x"), (b"upgrade", b"h2c"), (b"expect", b"100-continue"),
            (b"proxy-authorization", b"x"), (b"x-kept", b"2"), method="POST",
        )
    )  # fmt: skip
    names = [name for name, _ in fields]
    assert names == [
        b"host", b"x-kept", b"cf-connecting-ip", b"x-real-ip", b"x-forwarded-proto", b"onehop-scheme", b"onehop-control"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", [b"cf-connecting-ip", b"x-real-ip", b"x-forwarded-proto", b"true-client-ip", b"onehop-control", b"onehop-x"]
)
def test_a_client_cant_say_what_only_we_may(name: bytes) -> None:
    fields = sent(request_of((name, b"forged")))
    assert b"forged" not in [value for _, value in fields]
    assert dict(fields)[b"cf-connecting-ip"] == b"192.0.2.1"


def test_the_control_field_names_the_pipeline_that_the_edge_found() -> None:
    control = orjson.loads(dict(sent(request_of()))[b"onehop-control"])
    assert control == {"pipeline": PIPELINE.encode().decode(), "cf": {"colo": "X"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], 0),
        ([(b"content-length", b"0")], 0),
        ([(b"content-length", b"12")], 12),
        ([(b"transfer-encoding", b"chunked")], None),
    ],
)
def test_hardening_80_the_body_is_framed_by_what_was_parsed(
    fields: list[tuple[bytes, bytes]], expected: int | None
) -> None:
    assert request_of(*fields, method="POST").body_bytes == expected


def test_the_url_has_passed_a_parser() -> None:
    assert request_of(target=b"/a\\b?c='d'").target == b"/a/b?c=%27d%27"
    assert request_of(target=b"/a?b").url == "https://a.pages.test:80/a?b"


def test_a_websocket_is_asked_for_by_both_fields_and_get() -> None:
    both = ((b"upgrade", b"websocket"), (b"connection", b"keep-alive, Upgrade"))
    assert request_of(*both).is_upgrade
    assert (b"upgrade", b"websocket") in sent(request_of(*both))
    assert not request_of(*both, may_upgrade=False).is_upgrade
    assert not request_of(*both, method="POST").is_upgrade
    assert not request_of(both[0]).is_upgrade


def test_the_times_that_a_request_left_our_functions_are_counted() -> None:
    assert request_of((b"cdn-loop", b"onehop, other; v=1"), (b"cdn-loop", b"onehop")).loops_count == 2


def test_of_an_answer_only_what_is_for_the_client_passes() -> None:
    start = AnswerStart(
        200,
        [(b"content-length", b"3"), (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"set-cookie", b"a=1"),
         (b"set-cookie", b"b=2"), (b"trailer", b"t"), (b"onehop-outcome", b"x")],
    )  # fmt: skip
    fields = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"3")]
    assert answer_fields(start, is_preview=False) == fields


def test_hardening_84_a_previews_function_is_not_indexed() -> None:
    assert (b"x-robots-tag", b"noindex") in answer_fields(AnswerStart(200, []), is_preview=True)
    own = AnswerStart(200, [(b"x-robots-tag", b"all")])
    assert answer_fields(own, is_preview=True) == [(b"x-robots-tag", b"all")]
