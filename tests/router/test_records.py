"""Records: read back as they were written, small, and refused in any form that this release doesn't write."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.records import (
    Alias,
    CustomDomain,
    Deployment,
    Pointer,
    RecordUnreadable,
    Site,
    decode_record,
    encode_record,
)

COUNTS = st.integers(0, 2**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DOCUMENTS = st.dictionaries(TEXTS, st.one_of(st.booleans(), COUNTS, TEXTS, st.lists(TEXTS, max_size=3)), max_size=3)
POINTERS = st.builds(Pointer, seq=COUNTS, order=COUNTS)
SITES = st.builds(
    Site,
    site_no=COUNTS,
    id=TEXTS,
    name=TEXTS,
    production_branch=TEXTS,
    created_on=TEXTS,
    production=st.none() | POINTERS,
    seq_last=COUNTS,
    order_last=COUNTS,
    keep_days=st.integers(0, 30),
    dual_write=st.booleans(),
    domains=st.lists(TEXTS, max_size=3).map(tuple),
    build_config=DOCUMENTS,
    deployment_configs=DOCUMENTS,
)
DEPLOYMENTS = st.builds(
    Deployment,
    site_no=COUNTS,
    seq=COUNTS,
    id=TEXTS,
    created_on=TEXTS,
    manifest=TEXTS,
    environment=st.sampled_from(["production", "preview"]),
    branch=TEXTS,
    order=COUNTS,
    bundle=st.none() | TEXTS,
    alias=st.none() | TEXTS,
    commit_dirty=st.booleans(),
    superseded=st.booleans(),
    log=st.lists(TEXTS, max_size=3).map(tuple),
    env_vars=DOCUMENTS,
    details=DOCUMENTS,
)
ALIASES = st.builds(Alias, site_no=COUNTS, slug=TEXTS, branch=TEXTS, pointer=POINTERS)
DOMAINS = st.builds(CustomDomain, name=TEXTS, site_no=COUNTS, id=TEXTS, created_on=TEXTS, state=TEXTS)
RECORDS = st.one_of(SITES, DEPLOYMENTS, ALIASES, DOMAINS)
DEPLOYMENT = Deployment(1, 2, "2b469e16" + "0" * 24, "2026-01-01T00:00:00Z", "m" * 22)


@settings(max_examples=200)
@given(RECORDS)
def test_what_is_encoded_is_read_back(record: Site | Deployment | Alias | CustomDomain) -> None:
    assert decode_record(type(record), encode_record(record)) == record  # type: ignore[type-var]  # one of the four


def test_members_at_their_default_take_no_room() -> None:
    assert orjson.loads(encode_record(DEPLOYMENT)).keys() == {"site_no", "seq", "id", "created_on", "manifest"}


def test_a_short_id_is_the_first_eight_digits() -> None:
    assert DEPLOYMENT.short_id == "2b469e16"


@pytest.mark.parametrize(
    "change",
    [
        {"from_the_future": 1},
        {"seq": "2"},
        {"seq": True},
        {"seq": 2.0},
        {"seq": None},
        {"commit_dirty": 1},
        {"log": {"a": 1}},
        {"log": 3},
        {"env_vars": []},
        {"manifest": ["m"]},
    ],
)
def test_65_a_member_that_is_unknown_or_of_another_type_makes_a_record_unreadable(change: dict[str, object]) -> None:
    members = orjson.loads(encode_record(DEPLOYMENT)) | change
    with pytest.raises(RecordUnreadable):
        decode_record(Deployment, orjson.dumps(members))


@pytest.mark.parametrize("value", [b"", b"null", b"3", b"[]", b'"x"', b"{}", b"\xff", b'{"pointer":1}', b"[1,2]"])
def test_82_what_is_no_record_is_unreadable(value: bytes) -> None:
    for kind in (Site, Deployment, Alias, CustomDomain):
        with pytest.raises(RecordUnreadable):
            decode_record(kind, value)


@pytest.mark.parametrize("pointer", [{"seq": 1}, {"seq": "1", "order": 1}, {"seq": 1, "order": 1, "x": 1}, [1, 2], 1])
def test_a_pointer_that_is_none_makes_a_record_unreadable(pointer: object) -> None:
    value = orjson.dumps({"site_no": 1, "slug": "a", "branch": "a", "pointer": pointer})
    with pytest.raises(RecordUnreadable):
        decode_record(Alias, value)


@given(DEPLOYMENTS, st.data())
def test_a_cut_record_is_unreadable(record: Deployment, data: st.DataObject) -> None:
    value = encode_record(record)
    with pytest.raises(RecordUnreadable):
        decode_record(Deployment, value[: data.draw(st.integers(0, len(value) - 1))])
