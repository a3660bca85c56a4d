"""Tables made elsewhere: what is taken in, what is kept, and what is refused, filter by filter."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from control_plane.catalogue import put_site
from control_plane.clock import Clock
from onehop.data_folder import DataFolder
from onehop.legacy_import import Imported, ImportRefused, import_table, read_files
from onehop.opened_store import OpenedStore
from router.hashed import delete_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.legacy import FILTERS_MAX, TABLE_BYTES_MAX
from router.legacy_table import pattern_of, script_hash_of
from router.pipeline import Pipeline
from tests.control_plane.client import FakeTime, open_plane
from tests.schemes.both_schemes import ARMS, BothSchemes, files_of, need_site

HOST = "one.pages.test"
NEW_HOST = "2b469e16.one.pages.test"


@pytest.fixture
def schemes(tmp_path: Path) -> Iterator[BothSchemes]:
    with open_plane(tmp_path / "data", FakeTime()) as plane:
        opened = BothSchemes(plane)
        opened.create("one")
        opened.deploy("one", 0, "main")
        yield opened


def known_hash(schemes: BothSchemes) -> str:
    """What the first deployment's own host leads to."""
    (deployment,) = schemes.deployments("one")
    return script_hash_of(Pipeline(1, deployment.manifest, is_preview=True))


def table_file(tmp_path: Path, *filters: Any, version: Any = 1) -> Path:
    path = tmp_path / "table.json"
    path.write_bytes(orjson.dumps({"filters": list(filters), "v": version}))
    return path


def filter_of(host: str, script_hash: str, **members: str) -> dict[str, str]:
    return {"pattern": pattern_of(host), "script_hash": script_hash, **members}


def take_in(schemes: BothSchemes, *files: Path) -> Imported:
    plane = schemes.plane
    it = OpenedStore(DataFolder(files[0].parent), plane.store, plane.keys(), plane.names)
    (table,), pipelines = read_files(list(files))
    return import_table(it, table, pipelines, Clock())


def reasons(imported: Imported) -> list[tuple[int, str]]:
    assert imported.added_count == imported.kept_count == 0 or not imported.problems
    return [(problem.number, problem.reason) for problem in imported.problems]


def test_a_new_deployment_s_host_is_served_under_each_arm_and_has_a_record(
    schemes: BothSchemes, tmp_path: Path
) -> None:
    imported = take_in(schemes, table_file(tmp_path, filter_of(NEW_HOST, known_hash(schemes))))
    assert (imported.site, imported.added_count, imported.kept_count, imported.problems) == ("one", 1, 0, ())
    for arm in ARMS:
        assert bytes(schemes.ask(arm, NEW_HOST).body) == files_of(0)["/index.html"]
    newest = schemes.deployments("one")[0]
    assert (newest.short_id, newest.environment) == ("2b469e16", "preview")
    schemes.delete_deployment("one", newest)
    assert {schemes.ask(arm, NEW_HOST).status for arm in ARMS} == {404}


def test_a_host_that_is_served_keeps_what_it_shows(schemes: BothSchemes, tmp_path: Path) -> None:
    old = known_hash(schemes)
    schemes.deploy("one", 1, "main")
    imported = take_in(schemes, table_file(tmp_path, filter_of(HOST, old)))
    assert (imported.added_count, imported.kept_count) == (0, 1)
    assert {bytes(schemes.ask(arm, HOST).body) for arm in ARMS} == {files_of(1)["/index.html"]}


def test_a_host_that_lost_both_its_ways_gets_one_back(schemes: BothSchemes, tmp_path: Path) -> None:
    (deployment,) = schemes.deployments("one")
    host = f"{deployment.short_id}.{HOST}"
    script_hash = known_hash(schemes)
    with schemes.plane.store.write() as transaction:
        delete_route(transaction, schemes.plane.keys(), Hostname(host))
        transaction.delete(Database.LEGACY_TABLES, SITE_NO.pack(1))
    assert {schemes.ask(arm, host).status for arm in ARMS} == {404}
    assert take_in(schemes, table_file(tmp_path, filter_of(host, script_hash))).added_count == 1
    assert {schemes.ask(arm, host).status for arm in ARMS} == {200}


def test_pipelines_can_come_with_a_table(schemes: BothSchemes, tmp_path: Path) -> None:
    (deployment,) = schemes.deployments("one")
    pipelines = tmp_path / "pipelines.json"
    members = orjson.loads(Pipeline(77, deployment.manifest, is_preview=True).encode())
    pipelines.write_bytes(orjson.dumps({"pipelines": {"Script-1": members}, "v": 1}))
    assert take_in(schemes, table_file(tmp_path, filter_of(NEW_HOST, "Script-1")), pipelines).added_count == 1
    assert {schemes.ask(arm, NEW_HOST).status for arm in ARMS} == {200}


def test_every_problem_is_named_and_nothing_is_taken_in(schemes: BothSchemes, tmp_path: Path) -> None:
    known = known_hash(schemes)
    bad = [
        filter_of(NEW_HOST, known),
        {"pattern": "^(a+)+$", "script_hash": known},
        {"pattern": r"^(?:x.one.pages.test(?:[:][0-9]+)?\/(.*))$", "script_hash": known},
        filter_of(NEW_HOST, known),
        filter_of("00000001.one.pages.test", known, extra="x"),
        filter_of("00000002.one.pages.test", "not a hash"),
        {"pattern": 7, "script_hash": known},
        "text",
    ]
    imported = take_in(schemes, table_file(tmp_path, *bad))
    assert reasons(imported) == [
        (2, "the pattern isn't of a known shape"),
        (3, "the pattern isn't of a known shape"),
        (4, f"{NEW_HOST} has a filter already, number 1"),
        (5, 'a filter has a "pattern" and a "script_hash", and nothing else'),
        (6, "its script_hash isn't 1 to 64 letters, digits, - and _"),
        (7, "its pattern isn't a text"),
        (8, 'a filter has a "pattern" and a "script_hash", and nothing else'),
    ]
    assert {schemes.ask(arm, NEW_HOST).status for arm in ARMS} == {404}


def test_a_domain_that_is_the_site_s_no_more_is_a_problem_of_its_filter_alone(
    schemes: BothSchemes, tmp_path: Path
) -> None:
    """Wherever it stands: the site is told by the hosts that can't be another's."""
    gone, own = (filter_of(host, known_hash(schemes)) for host in ("www.gone.test", HOST))
    for filters in ([gone, own], [own, gone]):
        imported = take_in(schemes, table_file(tmp_path, *filters))
        assert (imported.site, imported.added_count) == ("one", 0)
        assert [each.what for each in imported.problems] == ["www.gone.test"]


def test_what_a_filter_says_must_agree_with_what_is_here(schemes: BothSchemes, tmp_path: Path) -> None:
    schemes.create("two")
    schemes.deploy("two", 1, "main")
    (other,) = schemes.deployments("two")
    other_hash = script_hash_of(Pipeline(2, other.manifest, is_preview=True))
    bad = [
        filter_of(NEW_HOST, "f" * 32),
        filter_of("00000009.two.pages.test", known_hash(schemes)),
        filter_of("00000008.one.pages.test", other_hash),
        filter_of("feature.one.pages.test", known_hash(schemes)),
    ]
    found = reasons(take_in(schemes, table_file(tmp_path, *bad)))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    for (_, reason), part in zip(
        found, ["names no pipeline", "the host isn't one's", "belongs to site 2", "no branch with the address feature"],
        strict=True,
    ):  # fmt: skip
        assert part in reason
    assert len(schemes.deployments("one")) == 1


def test_a_pattern_that_matches_two_hosts_is_refused_where_it_would_take_the_other_s(
    schemes: BothSchemes, tmp_path: Path
) -> None:
    for domain in ("www.example.test", "wwwxexample.test"):
        schemes.add_domain("one", domain)
    known = known_hash(schemes)
    filters = [filter_of("www.example.test", known), filter_of("wwwxexample.test", known)]
    ((number, reason),) = reasons(take_in(schemes, table_file(tmp_path, *filters)))
    assert number == 1
    assert reason == "matches two hosts: www.example.test, and wwwxexample.test of filter 2 after it"
    assert reasons(take_in(schemes, table_file(tmp_path, *reversed(filters)))) == []


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "isn't JSON, or is cut"), (b'{"filters":[{"pat', "isn't JSON, or is cut"), (b"[]", "isn't a JSON object"),
        (b'{"filters":[],"v":2}', "is of version 2"), (b'{"filters":[]}', "is of version None"),
        (b'{"filters":[],"v":true}', "is of version True"), (b'{"filters":[],"v":1.0}', "is of version 1.0"),
        (b'{"v":1}', "neither"), (b'{"filters":{},"v":1}', "neither"), (b'{"filters":[],"v":1}', "no filter that"),
        (b'{"pipelines":{"x":{}},"v":1}', "pipeline x"), (b" " * (TABLE_BYTES_MAX + 1), "bytes; a table of more than"),
        (b'{"filters":[' + b"1," * FILTERS_MAX + b'1],"v":1}', "filters; a table of more than"),
    ],
)  # fmt: skip
def test_82_a_file_that_is_no_table_is_refused_with_the_reason(
    schemes: BothSchemes, tmp_path: Path, content: bytes, part: str
) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=part):
        take_in(schemes, path)


def test_a_missing_file_an_unknown_site_and_a_site_without_dual_write_are_refused(
    schemes: BothSchemes, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused, match="can't be read"):
        read_files([tmp_path / "absent.json"])
    with pytest.raises(ImportRefused, match="no site's host here"):
        take_in(schemes, table_file(tmp_path, filter_of("2b469e16.nobody.pages.test", "f" * 32)))
    with schemes.plane.store.write() as transaction:
        put_site(transaction, replace(need_site(transaction, "one"), dual_write=False))
    with pytest.raises(ImportRefused, match="dual write is off"):
        take_in(schemes, table_file(tmp_path, filter_of(NEW_HOST, "f" * 32)))


@pytest.mark.parametrize(
    "text",
    [
        '{"pipelines":{"a":' + '{"a":' * 500 + "1" + "}" * 500 + '},"v":1}',
        '{"filters":' + "[" * 500 + "]" * 500 + ',"v":1}',
        '{"filters":[],"v":' + "[" * 500 + "]" * 500 + "}",
    ],
)
def test_what_is_nested_deep_is_refused_or_a_problem_in_short_lines(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deep.json"
    file.write_text(text)
    try:
        (table,), _ = read_files([file])
    except ImportRefused as refused:
        assert len(str(refused)) < 1_000
    else:
        assert all(len(problem.what) <= 200 for problem in table.problems)
        assert table.problems


def test_only_regular_files_are_read_and_no_more_of_them_than_a_table_may_have(tmp_path: Path) -> None:
    pipe, device, large = tmp_path / "pipe", tmp_path / "device", tmp_path / "large"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    with large.open("wb") as file:
        file.truncate(TABLE_BYTES_MAX + 1)
    for path, reason in ((pipe, "isn't a regular file"), (device, "isn't a regular file"), (large, "16777217 bytes")):
        with pytest.raises(ImportRefused, match=reason):
            read_files([path])
