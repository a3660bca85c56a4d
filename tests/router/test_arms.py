"""What is chosen request by request: sticky splits, the word on the timing, comparisons that are bounded and true."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from math import inf
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from asset_server.message import Response
from router.arms import COOKIE, bucket_in_cookie
from router.differences import DIFFERENCES_MAX, FILES_MAX, DifferenceLog, clear_differences, read_differences
from router.edge import EdgeRequest
from router.kv.schema import SITE_NO, Database
from router.legacy_table import edit_table, script_hash_of
from router.metrics.catalogue import SHADOW_DIFFERENCES, SHADOWS
from router.pipeline import Pipeline
from router.policy import Policy, Scheme, Split
from router.policy_record import change_policy
from router.shadow import Difference
from tests.control_plane.client import FakeTime, open_plane
from tests.schemes.both_schemes import BothSchemes

HOST = "one.pages.test"
SITE_ONE = 1


@pytest.fixture
def schemes(tmp_path: Path) -> Iterator[BothSchemes]:
    with open_plane(tmp_path, FakeTime()) as plane:
        opened = BothSchemes(plane)
        opened.create("one")
        opened.deploy("one", 0, "main")
        yield opened


def set_policy(schemes: BothSchemes, policy: Policy) -> None:
    with schemes.plane.store.write() as transaction:
        change_policy(
            transaction, lambda before: replace(policy, salt=before.salt), who="", when="", why="", what=""
        )  # fmt: skip


def ask(schemes: BothSchemes, *, client: str = "", cookie: str | None = None) -> Response:
    headers = [(b"cookie", cookie.encode())] if cookie is not None else []
    request = EdgeRequest("GET", b"/", HOST.encode(), "http", headers, client, received_ns=0)
    return schemes.edges["by policy"].handle(request)


def field(response: Response, name: bytes) -> bytes | None:
    values = [value for key, value in response.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


def arm_of(response: Response) -> str:
    timing = field(response, b"server-timing")
    assert timing is not None
    name, duration, description = timing.decode().split(";")
    assert name == "onehop"
    assert float(duration.removeprefix("dur=")) >= 0
    return description.removeprefix('desc="').removesuffix('"')


def test_an_answer_says_how_it_was_found_only_where_the_policy_asks(schemes: BothSchemes) -> None:
    assert field(ask(schemes), b"server-timing") is None
    for scheme in Scheme:
        set_policy(schemes, Policy(default=scheme, server_timing=frozenset({SITE_ONE})))
        assert arm_of(ask(schemes)) == scheme
        set_policy(schemes, Policy(default=scheme, server_timing=frozenset({SITE_ONE + 1})))
        assert field(ask(schemes), b"server-timing") is None


def test_a_client_stays_in_its_arm_without_a_cookie(schemes: BothSchemes) -> None:
    set_policy(schemes, Policy(splits={SITE_ONE: Split(50.0)}, server_timing_everywhere=True))
    arms = {}
    for number in range(60):
        client = f"192.0.2.{number}"
        answers = [ask(schemes, client=client) for _ in range(3)]
        (arms[client],) = {arm_of(answer) for answer in answers}
        assert {field(answer, b"set-cookie") for answer in answers} == {None}
    assert set(arms.values()) == {"hashed", "legacy"}


def test_with_a_cookie_a_client_stays_in_its_arm_wherever_it_goes(schemes: BothSchemes) -> None:
    set_policy(schemes, Policy(splits={SITE_ONE: Split(50.0, cookie=True)}, server_timing_everywhere=True))
    for number in range(20):
        first = ask(schemes, client=f"192.0.2.{number}")
        given = field(first, b"set-cookie")
        assert given is not None
        assert given.endswith(b"; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
        cookie = given.split(b";")[0].decode()
        for elsewhere in range(5):
            again = ask(schemes, client=f"198.51.100.{elsewhere}", cookie=f"theme=dark; {cookie}; a=b")
            assert arm_of(again) == arm_of(first)
            assert field(again, b"set-cookie") is None


@pytest.mark.parametrize("value", ["", "x", "-1", "10000", "99999999999", "1_0", "٥", "1 2"])
def test_a_cookie_that_was_never_given_counts_as_none(schemes: BothSchemes, value: str) -> None:
    assert bucket_in_cookie([(b"cookie", f"{COOKIE.decode()}={value}".encode())]) is None
    set_policy(schemes, Policy(splits={SITE_ONE: Split(50.0, cookie=True)}, server_timing_everywhere=True))
    assert field(ask(schemes, cookie=f"{COOKIE.decode()}={value}"), b"set-cookie") is not None


def test_buckets_in_cookies() -> None:
    assert bucket_in_cookie([(b"cookie", b"a=1"), (b"cookie", b"b=2;onehop_bucket=9999")]) == 9999
    assert bucket_in_cookie([(b"cookie", b"onehop_bucket=0")]) == 0
    assert bucket_in_cookie([(b"x", b"onehop_bucket=0")]) is None


# -- comparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [Scheme.HASHED, Scheme.LEGACY])
def test_shadow_compares_the_share_that_was_asked_for_and_finds_nothing_where_all_is_well(
    schemes: BothSchemes, scheme: Scheme
) -> None:
    set_policy(schemes, Policy(default=scheme, shadow_percent=25.0))
    for _ in range(100):
        ask(schemes)
    assert schemes.counted("by policy", SHADOWS) == 25
    assert schemes.counted("by policy", SHADOW_DIFFERENCES) == 0


@pytest.mark.parametrize("scheme", [Scheme.HASHED, Scheme.LEGACY])
def test_73_a_difference_is_found_whichever_scheme_serves(schemes: BothSchemes, scheme: Scheme) -> None:
    other = Pipeline(SITE_ONE, "x" * 22)
    found: list[Difference] = []
    schemes.edges["by policy"]._resolver.arms._on_difference = found.append
    with schemes.plane.store.write() as transaction:
        key = SITE_NO.pack(SITE_ONE)
        table = transaction.get(Database.LEGACY_TABLES, key)
        assert table is not None
        transaction.put(Database.PIPELINES, script_hash_of(other).encode(), other.encode())
        transaction.put(Database.LEGACY_TABLES, key, edit_table(table, {HOST: script_hash_of(other)}))
    set_policy(schemes, Policy(default=scheme, shadow_percent=100.0))
    answer = ask(schemes)
    assert answer.status == (200 if scheme is Scheme.HASHED else 500), "the other pipeline's manifest isn't there"
    assert found
    assert (found[0].host, found[0].served, found[0].reason) == (HOST, scheme, "the pipelines differ")
    assert found[0].legacy == other.encode().decode()


def test_a_host_that_a_table_lacks_is_a_difference(schemes: BothSchemes) -> None:
    found: list[Difference] = []
    schemes.edges["by policy"]._resolver.arms._on_difference = found.append
    with schemes.plane.store.write() as transaction:
        transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(SITE_ONE), b'{"filters":[],"v":1}')
    for scheme in (Scheme.HASHED, Scheme.LEGACY):
        set_policy(schemes, Policy(default=scheme, shadow_percent=100.0))
        assert ask(schemes).status == 200
    assert [each.reason for each in found] == ["the table has no such host"] * 2


@pytest.mark.parametrize("scheme", [Scheme.HASHED, Scheme.LEGACY])
def test_73_a_deploy_that_a_worker_has_not_seen_yet_is_no_difference(schemes: BothSchemes, scheme: Scheme) -> None:
    found: list[Difference] = []
    resolver = schemes.edges["by policy"]._resolver
    resolver.arms._on_difference = found.append
    set_policy(schemes, Policy(default=scheme, shadow_percent=100.0))
    assert ask(schemes).status == 200
    resolver.look_at_s = inf  # the next look is still to come
    schemes.deploy("one", 1, "main")
    assert ask(schemes).status == 200
    assert ask(schemes).status == 200
    resolver.look_at_s = 0.0
    assert ask(schemes).status == 200
    assert schemes.counted("by policy", SHADOWS) == 4
    assert (schemes.counted("by policy", SHADOW_DIFFERENCES), found) == (0, [])


def test_a_difference_that_lasts_is_found_though_the_feed_has_moved(schemes: BothSchemes) -> None:
    found: list[Difference] = []
    resolver = schemes.edges["by policy"]._resolver
    resolver.arms._on_difference = found.append
    set_policy(schemes, Policy(shadow_percent=100.0))
    with schemes.plane.store.write() as transaction:
        transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(SITE_ONE), b'{"filters":[],"v":1}')
    assert ask(schemes).status == 200
    resolver.look_at_s = inf
    schemes.create("two")
    assert ask(schemes).status == 200
    assert [each.reason for each in found] == ["the table has no such host"] * 2


def difference(number: int) -> Difference:
    return Difference(f"h{number}.pages.test", 1, Scheme.HASHED, "{}", None, "the pipelines differ")


def numbered() -> Callable[[], str]:
    numbers = count()
    return lambda: f"{next(numbers):09}"


def test_differences_are_written_once_each(tmp_path: Path) -> None:
    log = DifferenceLog(tmp_path / "differences", now=numbered())
    for number in [*range(DIFFERENCES_MAX), *range(10)]:
        log.add(difference(number))
    seen = read_differences(tmp_path / "differences")
    assert [each.difference for each in seen] == [difference(number) for number in range(DIFFERENCES_MAX)]


def test_of_more_differences_the_newest_are_kept(tmp_path: Path) -> None:
    log = DifferenceLog(tmp_path / "differences", now=numbered())
    for number in range(7 * DIFFERENCES_MAX + 10):
        log.add(difference(number))
    seen = [each.difference for each in read_differences(tmp_path / "differences")]
    assert seen == [difference(number) for number in range(6 * DIFFERENCES_MAX, 7 * DIFFERENCES_MAX + 10)]


def test_what_is_still_different_after_a_clear_is_found_again(tmp_path: Path) -> None:
    log = DifferenceLog(tmp_path / "differences", now=numbered())
    for number in range(DIFFERENCES_MAX + 10):
        log.add(difference(number))
    clear_differences(tmp_path / "differences")
    assert read_differences(tmp_path / "differences") == []
    log.add(difference(1))
    assert [each.difference for each in read_differences(tmp_path / "differences")] == [difference(1)]


def test_torn_lines_and_strange_ones_are_passed_over(tmp_path: Path) -> None:
    log = DifferenceLog(tmp_path / "differences", now=lambda: "now")
    log.add(difference(1))
    (file,) = (tmp_path / "differences").iterdir()
    whole = file.read_bytes()
    file.write_bytes(b"{}\n[]\n\xff\n" + whole + whole[:-9])
    assert [each.difference for each in read_differences(tmp_path / "differences")] == [difference(1)]


def test_files_of_processes_long_gone_make_room(tmp_path: Path) -> None:
    folder = tmp_path / "differences"
    folder.mkdir()
    for number in range(FILES_MAX + 5):
        (folder / f"p{number}.jsonl").write_bytes(b"")
    DifferenceLog(folder, now=lambda: "now").add(difference(1))
    assert len(list(folder.iterdir())) == FILES_MAX


def test_a_folder_that_cannot_be_written_costs_no_request(tmp_path: Path) -> None:
    (tmp_path / "differences").write_text("a file")
    with capture_logs() as logs:
        DifferenceLog(tmp_path / "differences", now=lambda: "now").add(difference(1))
    assert logs == []
