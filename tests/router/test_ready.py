"""Ready answers: their bytes, and who is let in and pushed out."""

import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asset_server.message import HeaderFields, Response
from router.http1.answer_head import AnswerTerms, render_answer_head
from router.ready import ENTRY_BYTES, MAPPED_BYTES, Doorkeeper, ReadyAnswer, ReadyAnswers

FIELDS: HeaderFields = [(b"content-type", b"text/plain"), (b"x-a", b"b"), (b"content-length", b"4")]
DATED = [[(b"date", b"Tue, 24 Nov 2026 23:17:21 GMT")], [(b"date", b"x"), (b"server", b"y")], []]


def answer_of(size: int = 0) -> ReadyAnswer:
    return ReadyAnswer(Response(200, [(b"content-length", b"%d" % size)], b"x" * size), is_head=False)


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("is_head", [True, False])
@pytest.mark.parametrize("body", [b"body", memoryview(b"body")])
def test_its_bytes_are_those_of_an_answer_that_is_rendered_whole(
    body: bytes | memoryview, is_head: bool, keep_alive: bool
) -> None:
    sent = b"" if is_head else body
    answer = ReadyAnswer(Response(200, FIELDS, sent), is_head=is_head)
    for defaults in (*DATED, DATED[0]):
        answer.date(defaults)
        terms = AnswerTerms(is_head, 1, keep_alive)
        head = render_answer_head(200, [*defaults, *FIELDS], terms, whole_body_bytes=len(sent)).data
        data = answer.data if keep_alive else answer.closing()
        assert data + bytes(answer.tail or b"") == head + sent


def test_a_key_is_wanted_when_it_comes_again() -> None:
    answers = ReadyAnswers()
    assert [answers.wants(b"terms", b"line") for _ in range(3)] == [False, True, True]
    assert not answers.wants(b"terms", b"other")
    assert not answers.wants(b"others", b"line")
    answers.put(b"terms", b"line", answer_of())
    assert not answers.wants(b"terms", b"line"), "it is there"


def test_a_million_keys_once_each_are_never_wanted_and_forgotten_again() -> None:
    doorkeeper = Doorkeeper(seen_max=1000)
    assert not any(doorkeeper.has_seen(b"terms", b"%d" % number) for number in range(1_000_000))
    assert len(doorkeeper._now) + len(doorkeeper._before) <= 2000


@pytest.mark.parametrize("size", [0, 750, 4096])
def test_answers_take_no_more_than_they_count_for(size: int) -> None:
    answers = ReadyAnswers()
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(500):
            answer = answer_of(size)
            answer.date(DATED[0])
            answers.put(b"pipeline and host %d" % number, b"GET /some/path/%d HTTP/1.1\r\n" % number, answer)
        taken_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    finally:
        tracemalloc.stop()
    assert taken_bytes <= answers.bytes_count


def test_what_is_asked_for_stays_and_what_is_not_makes_room() -> None:
    answers = ReadyAnswers(10 * (ENTRY_BYTES + 2000))
    hot = answer_of(1000)
    answers.put(b"terms", b"hot", hot)
    for number in range(1000):
        hot.is_asked = True
        answers.put(b"terms", b"%d" % number, answer_of(1000))
    assert answers.view(b"terms").get(b"hot") is hot
    assert answers.view(b"terms").get(b"0") is None
    assert answers.view(b"terms").get(b"999") is not None


def test_a_newcomer_stays_out_where_all_are_asked_for() -> None:
    answers = ReadyAnswers(200 * ENTRY_BYTES)
    old = [answer_of() for _ in range(150)]
    for number, answer in enumerate(old):
        answers.put(b"old", b"%d" % number, answer)
    count = len(answers)
    for answer in old:
        answer.is_asked = True
    for number in range(60):
        answers.put(b"new", b"%d" % number, answer_of(100 * ENTRY_BYTES))
    assert len(answers) <= count


def test_what_is_larger_than_all_the_room_stays_out() -> None:
    answers = ReadyAnswers(10 * ENTRY_BYTES)
    answers.put(b"terms", b"large", answer_of(20 * ENTRY_BYTES))
    mapped = ReadyAnswer(Response(200, [(b"content-length", b"1")], memoryview(b"x")), is_head=False)
    answers.put(b"terms", b"mapped", mapped)
    assert (len(answers), answers.bytes_count) == (0, 0)
    assert mapped.weight > MAPPED_BYTES


def test_an_emptied_view_is_looked_for_again() -> None:
    answers = ReadyAnswers(3 * ENTRY_BYTES)
    answers.put(b"a", b"line", answer_of())
    view = answers.view(b"a")
    answers.put(b"b", b"line", answer_of(1500))
    assert view.get(b"line") is None
    answers.put(b"a", b"line", answer_of())
    assert answers.view(b"a").get(b"line") is not None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 4000), st.booleans()), max_size=80))
def test_room_is_bounded_and_counted_right(steps: list[tuple[int, int, int, bool]]) -> None:
    answers = ReadyAnswers(20_000)
    model: OrderedDict[tuple[bytes, bytes], ReadyAnswer] = OrderedDict()
    for terms_number, line_number, size, is_asked in steps:
        terms, line = b"%d" % terms_number, b"line %d" % line_number
        answer = answer_of(size)
        answer.is_asked = is_asked
        answers.put(terms, line, answer)
        if answers.view(terms).get(line) is answer:
            model[terms, line] = answer
        here = {key: each for key, each in model.items() if answers.view(key[0]).get(key[1]) is each}
        assert len(answers) == len(here)
        assert answers.bytes_count == sum(each.weight + len(key[1]) for key, each in here.items()) <= 20_000
