"""A policy's file is read strictly, and before anything is locked; what names a deleted site hinders nobody."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from onehop.policy_edit import PolicyEdit
from onehop.policy_file import named_policy, policy_from_file, read_policy_file
from router.policy import Policy, Scheme, Split
from router.policy_record import PolicyRefused, change_policy, changes_newest_first, read_policy
from tests.conftest import LiveServer
from tests.control_plane.client import FakeTime, open_plane
from tests.schemes.both_schemes import BothSchemes

WAIT_MAX_S = 15.0


@pytest.fixture
def schemes(tmp_path: Path) -> Iterator[BothSchemes]:
    with open_plane(tmp_path, FakeTime()) as plane:
        opened = BothSchemes(plane)
        opened.create("one")
        yield opened


LOOSE = {
    '{"server_timing_everywhere":"yes"}': "server_timing_everywhere must be true or false",
    '{"splits":{"one":{"hashed_percent":5,"cookie":"yes"}}}': "the split of one: cookie must be true or false",
    '{"splits":{"one":{"hashed_percent":5,"zzz":1}}}': "the split of one: unknown member zzz",
    '{"splits":{"one":{"hashed_percent":5,"other":"hashed"}}}': "the other must be a legacy one",
    '{"splits":{"one":{}}}': "hashed_percent is missing",
    '{"splits":{"one":7}}': "the split of one: it must be an object",
    '{"percentage":{"percent":5,"of":"sites"}}': "percentage: unknown member of",
    '{"percentage":{"percent":true}}': "percentage: percent must be a whole number or a number",
    '{"default":"hashed","default":"legacy"}': "default is there twice",
    '{"pins":{"one":"hashed","one":"legacy"}}': "one is there twice",
    '{"server_timing":{"one":1}}': "server_timing must be a list",
    '{"server_timing":["one","one"]}': "one is there twice",
    '{"server_timing":[1]}': "a list of sites' names",
    '{"pins":["one"]}': "pins must be an object",
    '{"pins":{"one":{"a":1}}}': "the scheme of one must be a text",
    '{"pins":{"one":"fast"}}': "'fast' is no scheme",
    '{"salt":"00"}': "unknown member salt",
    '{"generation":true}': "generation must be a whole number",
    '{"shadow_percent":NaN}': "isn't a policy",
    '{"pins":{"nobody":"legacy"}}': "there is no site nobody",
    '{"pins":{"%s":"legacy"}}' % ("a" * 100_000): "is no site's name",
    '{"pins":' * 5_000 + "1" + "}" * 5_000: "isn't a policy",
    '{"pins":' * 900 + "1" + "}" * 900: "isn't a policy",
    "[]": "one JSON object",
    "": "isn't a policy",
}  # fmt: skip


@pytest.mark.parametrize("text", LOOSE)
def test_a_file_that_is_not_as_it_would_be_printed_is_refused(schemes: BothSchemes, tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    with schemes.plane.store.read() as snapshot, pytest.raises(PolicyRefused) as refused:
        policy_from_file(snapshot, read_policy_file(file))
    assert LOOSE[text] in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_deleting_a_site_takes_its_rules_along(schemes: BothSchemes, tmp_path: Path) -> None:
    schemes.create("two")
    rules = Policy(pins={1: Scheme.LEGACY, 2: Scheme.LEGACY}, splits={1: Split(5.0)}, server_timing=frozenset({1, 2}))
    with schemes.plane.store.write() as transaction:
        change_policy(transaction, lambda _: rules, who="", when="", why="", what="")
    schemes.delete_site("one")
    with schemes.plane.store.read() as snapshot:
        policy = read_policy(snapshot)
        assert len(list(changes_newest_first(snapshot))) == 1
    assert (policy.pins, policy.splits, policy.server_timing) == ({2: Scheme.LEGACY}, {}, frozenset({2}))
    assert policy.generation == 1


def test_a_policy_that_names_a_deleted_site_goes_into_a_file_and_comes_back_without_it(
    schemes: BothSchemes, tmp_path: Path
) -> None:
    """As stores of an earlier release may hold it."""
    with schemes.plane.store.write() as transaction:
        rules = Policy(pins={1: Scheme.LEGACY, 9: Scheme.LEGACY}, splits={9: Split(5.0)}, server_timing=frozenset({9}))
        change_policy(transaction, lambda _: rules, who="", when="", why="", what="")
    with schemes.plane.store.read() as snapshot:
        named = named_policy(snapshot, read_policy(snapshot))
        assert named["pins"] == {"one": "legacy", "site 9, deleted": "legacy"}
        file = tmp_path / "policy.json"
        file.write_text(json.dumps(named))
        set_back = policy_from_file(snapshot, read_policy_file(file))(read_policy(snapshot))
        assert (set_back.pins, set_back.splits, set_back.server_timing) == ({1: Scheme.LEGACY}, {}, frozenset())
        cleared = PolicyEdit(site="site 9, deleted", clear=True).change(snapshot)(read_policy(snapshot))
        assert cleared.pins == {1: Scheme.LEGACY}
        for refused in (PolicyEdit(site="site 1, deleted", clear=True), PolicyEdit(site="site 9, deleted", split=5)):
            with pytest.raises(PolicyRefused, match="there is no site"):
                refused.change(snapshot)


def test_undo_brings_no_rule_of_a_deleted_site_back(live_server: LiveServer) -> None:
    live_server.cli("site", "create", "gone")
    live_server.cli("policy", "set", "--site", "gone", "--scheme", "legacy", "--reason", "a")
    live_server.cli("policy", "set", "--shadow", "1", "--reason", "b")
    live_server.cli("site", "delete", "gone", "--yes")
    undone = json.loads(live_server.cli("policy", "undo", "--json").stdout)
    assert (undone["shadow_percent"], undone["pins"]) == (0, {})


def test_a_file_that_keeps_waiting_holds_nobody_up_and_an_error_steers_no_terminal(
    live_server: LiveServer, tmp_path: Path
) -> None:
    pipe = tmp_path / "policy.json"
    os.mkfifo(pipe)
    with live_server.start_cli("policy", "set", "--file", str(pipe), "--reason", "x") as waiting:
        with pipe.open("wb") as file:  # opens once it is read
            with live_server.start_cli("policy", "set", "--shadow", "2", "--reason", "not held up") as other:
                held_up = is_held_up(other)
            file.write(b'{"\\u001b[2J\\u0007x":1}')
        _, told = waiting.communicate()
    assert not held_up
    assert waiting.returncode == 1
    assert "unknown member" in told
    assert told.rstrip("\n").isprintable()


def is_held_up(command: "subprocess.Popen[str]") -> bool:
    """Ended then."""
    try:
        return command.wait(timeout=WAIT_MAX_S) != 0
    except subprocess.TimeoutExpired:
        command.kill()
        return True
