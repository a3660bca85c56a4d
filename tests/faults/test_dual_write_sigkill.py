"""A process dies between two writes of a change that goes into both schemes: both have it afterwards, or neither."""

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from router.hashing import KeyRing
from router.key_files import make_key
from router.kv.snapshot import Transaction
from tests.control_plane.client import FakeTime, open_plane
from tests.control_plane.conftest import assert_schemes_agree
from tests.schemes.both_schemes import ARMS, BothSchemes, files_of

WRITES_MAX: Final = 60
SITE: Final = "one"
HOST: Final = f"{SITE}.pages.test"


def deploy(schemes: BothSchemes) -> None:
    schemes.deploy(SITE, 2, "main")


def deploy_a_branch(schemes: BothSchemes) -> None:
    schemes.deploy(SITE, 2, "x")


def roll_back(schemes: BothSchemes) -> None:
    schemes.show_in_production(SITE, schemes.deployments(SITE)[-1])


def delete_a_branch(schemes: BothSchemes) -> None:
    schemes.delete_branch(SITE, "x")


def delete_the_site(schemes: BothSchemes) -> None:
    schemes.delete_site(SITE)


def add_a_domain(schemes: BothSchemes) -> None:
    schemes.add_domain(SITE, "www.example.test")


def dies_at_write(number: int) -> None:
    """From now on this process kills itself right before that write of its transactions."""
    writes = count(1)
    for name in ("put", "delete", "_append_feed"):
        setattr(Transaction, name, dying(getattr(Transaction, name), writes, number))


def dying(write: Callable[..., Any], writes: "count[int]", number: int) -> Callable[..., Any]:
    def die_or_write(*arguments: Any) -> Any:
        if next(writes) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments)

    return die_or_write


def act_and_die(folder: Path, keys: KeyRing, change: Callable[[BothSchemes], None], number: int) -> bool:
    """In a process of its own. Whether it lived to the end: then there's no such write."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open_plane(folder, FakeTime(), keys=keys) as plane:
                schemes = BothSchemes(plane, ids=count(10))
                dies_at_write(number)
                change(schemes)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def state_of(folder: Path, keys: KeyRing) -> dict[str, tuple[int, bytes]]:
    """What each host answers, the same under each arm."""
    with open_plane(folder, FakeTime(), keys=keys) as plane:
        assert_schemes_agree(plane)
        schemes = BothSchemes(plane)
        own = [f"{number:08x}.{HOST}" for number in (0, 1, 2, 10)]
        state = {}
        for host in (HOST, f"x.{HOST}", "www.example.test", *own):
            answers = {(answer.status, bytes(answer.body)) for answer in (schemes.ask(arm, host) for arm in ARMS)}
            (state[host],) = answers
        return state


@pytest.mark.parametrize(
    "change",
    [deploy, deploy_a_branch, roll_back, delete_a_branch, delete_the_site, add_a_domain],
    ids=lambda f: f.__name__,
)
def test_57_a_kill_between_two_writes_of_a_dual_write_leaves_both_or_neither(
    tmp_path: Path, change: Callable[[BothSchemes], None]
) -> None:
    keys = KeyRing(make_key())
    with open_plane(tmp_path, FakeTime(), keys=keys) as plane:
        schemes = BothSchemes(plane)
        schemes.create(SITE)
        for version, branch in enumerate(("main", "main", "x")):
            schemes.deploy(SITE, version, branch)
    before = state_of(tmp_path, keys)
    assert before[HOST] == (200, files_of(1)["/index.html"])
    for number in range(1, WRITES_MAX):
        if act_and_die(tmp_path, keys, change, number):
            break
        assert state_of(tmp_path, keys) == before
    else:
        raise AssertionError(f"{change.__name__} makes more than {WRITES_MAX} writes")
    assert number > 4
    assert state_of(tmp_path, keys) != before
