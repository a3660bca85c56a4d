"""Keyed hashes: the standard's own construction, a ring that hides its secrets."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.hashing import SECRET_BYTES, HashKey, KeyRing
from router.hostname import Hostname

SECRETS = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
OLD = HashKey("old", b"o" * SECRET_BYTES)
NEW = HashKey("new", b"n" * SECRET_BYTES)
HOST = Hostname("2b469e16.example.pages.localhost")


@given(SECRETS, st.from_regex(r"[a-z0-9.-]{1,253}", fullmatch=True))
def test_a_route_key_is_the_first_16_bytes_of_hmac_sha256(secret: bytes, name: str) -> None:
    key = HashKey("k", secret)
    assert key.route_key(Hostname(name)) == hmac.digest(secret, name.encode(), "sha256")[:16]
    assert key.route_key(Hostname(name)) == key.route_key(Hostname(name))


def test_a_check_value_is_the_whole_hmac_of_a_message_that_no_hostname_is() -> None:
    secret = bytes(range(32))
    assert HashKey("k", secret).check_value() == hmac.digest(secret, b"\x00onehop key check", "sha256")


def test_a_check_value_is_no_route_key_and_differs_by_key() -> None:
    assert OLD.check_value() != NEW.check_value()
    assert not OLD.check_value().startswith(OLD.route_key(HOST))


def test_a_secret_has_32_bytes() -> None:
    for count in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            HashKey("k", bytes(count))


def test_no_text_of_a_key_or_ring_shows_its_secret() -> None:
    for text in (repr(OLD), str(OLD), repr(KeyRing(OLD, NEW)), f"{KeyRing(OLD)}"):
        assert "ooo" not in text
        assert OLD.secret.hex() not in text


def test_a_ring_hashes_under_the_current_key_first() -> None:
    assert KeyRing(NEW).route_keys(HOST) == (NEW.route_key(HOST),)
    assert KeyRing(NEW, OLD).route_keys(HOST) == (NEW.route_key(HOST), OLD.route_key(HOST))
    assert KeyRing(NEW, OLD).route_key(HOST) == NEW.route_key(HOST)


def test_a_ring_is_arranged_as_it_is_told() -> None:
    ring = KeyRing(OLD, NEW)
    assert ring.arranged(["new", "old"]) == KeyRing(NEW, OLD)
    assert ring.arranged(["new"]) == KeyRing(NEW)
    assert KeyRing(NEW).arranged(["new", "old"]) is None
    assert ring.arranged(["other"]) is None
    assert ring.arranged([]) is None
    assert ring.arranged(["old", "new", "old"]) is None
