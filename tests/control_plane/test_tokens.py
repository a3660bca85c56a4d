"""Hardening 53, 55: tokens are recognised in constant time, stored hashed, scoped and revocable."""

import contextlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.errors import UnknownToken
from control_plane.tokens import TOKEN, Access, Issued, TokenDesk, TokenRecord, all_tokens, revoke_token
from router.kv.schema import Database
from router.kv.store import Store, open_store

DESK = TokenDesk(pepper=bytes(range(32)), now=lambda: "2026-01-01T00:00:00Z")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "kv", create=True) as opened:
        yield opened


def issue(store: Store, *, access: Access = Access.DEPLOY, site_no: int | None = None) -> Issued:
    with store.write() as transaction:
        return DESK.issue(transaction, name="ci", access=access, site_no=site_no)


def recognise(store: Store, text: str) -> TokenRecord | None:
    with store.read() as snapshot:
        return DESK.recognise(snapshot, text)


def test_an_issued_token_is_recognised(store: Store) -> None:
    issued = issue(store, access=Access.READ, site_no=7)
    record = recognise(store, issued.text)
    assert record == issued.record
    assert (record.access, record.site_no, record.name) == (Access.READ, 7, "ci")


def test_the_store_holds_neither_the_secret_nor_its_plain_hash(store: Store) -> None:
    issued = issue(store)
    secret = issued.text.rsplit("_", 1)[1]
    with store.read() as snapshot:
        values = b"".join(value for _, value in snapshot.scan(Database.TOKENS))
    assert secret.encode() not in values
    other_pepper = TokenDesk(pepper=bytes(32), now=lambda: "")
    with store.read() as snapshot:
        assert other_pepper.recognise(snapshot, issued.text) is None


def test_any_changed_character_makes_it_a_strangers(store: Store) -> None:
    text = issue(store).text
    for index in range(len(text)):
        changed = text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
        assert recognise(store, changed) is None


@pytest.mark.parametrize(
    "text", ["", "onehop_", "x" * 10_000, "onehop_\u00e9\u00e9_x", "onehop_AAAAAAAAAAAA_" + "A" * 43]
)
def test_what_was_never_issued_is_nobodys(store: Store, text: str) -> None:
    assert recognise(store, text) is None


@pytest.mark.parametrize("what", ["right", "wrong secret", "unknown id", "no token"])
def test_hardening_53_every_token_costs_one_comparison_in_constant_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    issued = issue(store).text
    text = {
        "right": issued,
        "wrong secret": issued[:-43] + "A" * 43,
        "unknown id": f"onehop_{'A' * 12}_{'A' * 43}",
        "no token": "nonsense",
    }[what]
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watch(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watch)
    assert (recognise(store, text) is not None) == (what == "right")
    assert compared == [(32, 32)]


def test_a_revoked_token_is_nobodys_at_once(store: Store) -> None:
    issued = issue(store)
    with store.write() as transaction:
        revoke_token(transaction, issued.record.id)
    assert recognise(store, issued.text) is None
    with store.write() as transaction, pytest.raises(UnknownToken):
        revoke_token(transaction, issued.record.id)


@pytest.mark.parametrize(
    ("access", "site_no", "needed", "on", "may"),
    [
        (Access.READ, None, Access.READ, None, True),
        (Access.READ, None, Access.DEPLOY, None, False),
        (Access.ADMIN, None, Access.DEPLOY, 7, True),
        (Access.DEPLOY, 7, Access.DEPLOY, 7, True),
        (Access.DEPLOY, 7, Access.ADMIN, 7, False),
        (Access.ADMIN, 7, Access.READ, 8, False),
        (Access.ADMIN, 7, Access.READ, None, False),
    ],
)
def test_what_a_token_may(access: Access, site_no: int | None, needed: Access, on: int | None, may: bool) -> None:
    record = TokenRecord(id="x", name="x", access=access, digest="", created_on="", site_no=site_no)
    assert record.may(needed, site_no=on) is may


def ensure(store: Store, path: Path) -> None:
    with store.write() as transaction:
        DESK.ensure_admin(transaction, path)


def test_the_first_start_leaves_an_admin_token_that_only_the_owner_reads(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "admin-token"
    ensure(store, path)
    record = recognise(store, path.read_text().strip())
    assert record is not None
    assert record.may(Access.ADMIN, site_no=None)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_next_start_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    ensure(store, path)
    before = path.read_text()
    ensure(store, path)
    assert path.read_text() == before
    with store.read() as snapshot:
        assert len(list(all_tokens(snapshot))) == 1


def test_the_first_start_takes_the_token_that_a_start_cut_short_has_left(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    with contextlib.suppress(InterruptedError), store.write() as transaction:
        DESK.ensure_admin(transaction, path)
        raise InterruptedError
    text = path.read_text().strip()
    assert TOKEN.fullmatch(text) is not None
    ensure(store, path)
    assert path.read_text().strip() == text
    assert recognise(store, text) is not None


@pytest.mark.parametrize("has_another", [True, False])
def test_a_revoked_admin_token_gives_way_to_a_new_one(store: Store, tmp_path: Path, has_another: bool) -> None:
    path = tmp_path / "admin-token"
    ensure(store, path)
    text = path.read_text().strip()
    if has_another:
        issue(store, access=Access.ADMIN)
    with store.write() as transaction:
        revoke_token(transaction, text.split("_")[1])
    ensure(store, path)
    assert recognise(store, text) is None
    assert recognise(store, path.read_text().strip()) is not None


def test_a_lost_file_is_made_again_with_a_new_token(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    ensure(store, path)
    path.unlink()
    ensure(store, path)
    record = recognise(store, path.read_text().strip())
    assert record is not None
    assert record.may(Access.ADMIN, site_no=None)


def test_a_repr_shows_neither_token_nor_digest_nor_pepper(store: Store) -> None:
    issued = issue(store)
    assert issued.text not in repr(issued)
    assert issued.record.digest not in repr(issued)
    assert "pepper" not in repr(DESK)
