"""The commands of both schemes, beside a running server: what they print, refuse and leave unchanged."""

import json
from pathlib import Path

import pytest

from tests.conftest import LiveServer, Serve


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> LiveServer:
    started = serve()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("hello")
    started.cli("deploy", str(tmp_path / "site"), "--project", "docs", "--branch", "main", cwd=tmp_path)
    return started


def route(server: LiveServer, host: str = "docs.pages.localhost") -> dict[str, object]:
    document: dict[str, object] = json.loads(server.cli("route", host, "--json").stdout)
    return document


def test_a_scheme_is_set_shown_explained_and_taken_back(server: LiveServer) -> None:
    assert (route(server)["scheme"], route(server)["rule"]) == ("hashed", "default")
    server.cli("policy", "set", "--site", "docs", "--scheme", "legacy", "--reason", "to compare")
    assert server.get("docs.pages.localhost").body == b"hello"
    told = route(server)
    assert (told["host"], told["site"]) == ("docs.pages.localhost", "docs")
    assert (told["scheme"], told["rule"]) == ("legacy", "pin")
    schemes = told["schemes"]
    assert isinstance(schemes, dict)
    assert schemes["hashed"]["pipeline"] == schemes["legacy"]["pipeline"] == told["pipeline"]
    assert min(schemes["hashed"]["us"], schemes["legacy"]["us"]) > 0
    shown = json.loads(server.cli("policy", "show", "--json").stdout)
    assert (shown["generation"], shown["pins"]) == (1, {"docs": "legacy"})
    (entry,) = json.loads(server.cli("policy", "log", "--json").stdout)
    assert (entry["change"], entry["reason"]) == ("--site docs --scheme legacy", "to compare")
    assert "undone: change 1" in server.cli("policy", "undo").stdout
    assert route(server)["scheme"] == "hashed"
    assert server.cli("policy", "undo", check=False).returncode == 1


def test_a_change_wants_a_reason_and_a_question_what_there_is(server: LiveServer) -> None:
    for arguments in (
        ("policy", "set", "--scheme", "legacy", "--reason", " "),
        ("route", "docs.pages.localhost", "--dc", "mars"),
        ("route", "docs.pages.localhost", "--client", "zzz"),
        ("route", "docs.pages.localhost", "--clear"),
    ):
        done = server.cli(*arguments, check=False)
        assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1), arguments


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("--percent 101", "isn't a percentage"), ("--percent nan", "isn't a percentage"),
        ("--site docs --split -1", "isn't a percentage"), ("--shadow 100.1", "isn't a percentage"),
        ("--site nobody --scheme legacy", "there is no site nobody"), ("--dc mars --scheme legacy", "known are local"),
        ("--split 5", "name it with --site"), ("--site docs --dc local --scheme legacy", "two rules"),
        ("--site docs", "nothing to set"), ("", "nothing to set"), ("--clear", "name it with --site or --dc"),
        ("--site docs --clear --scheme legacy", "--clear takes"), ("--site docs --percent 5", "of all sites"),
        ("--site docs --cookie", "belongs to a --split"), ("--site docs --split 5 --scheme hashed", "the other"),
        ("--site docs --shadow 5", "of all requests"), ("--dc local --server-timing", "leave --dc out"),
        ("--file /nowhere/p.json", "No such file"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_one_line_and_changes_nothing(
    live_server: LiveServer, tmp_path: Path, options: str, part: str
) -> None:
    if not json.loads(live_server.cli("site", "list", "--json").stdout):
        live_server.cli("site", "create", "docs")
    done = live_server.cli("policy", "set", "--reason", "x", *options.split(), check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert part in done.stderr
    assert json.loads(live_server.cli("policy", "show", "--json").stdout)["generation"] == 0


@pytest.mark.parametrize("options", [["--percent", "x"], ["--scheme", "fast"], ["--file", "p", "--percent", "1"]])
def test_wrong_usage_of_policy_set_exits_2(live_server: LiveServer, options: list[str]) -> None:
    assert live_server.cli("policy", "set", "--reason", "x", *options, check=False).returncode == 2
    assert live_server.cli("policy", "set", "--percent", "1", check=False).returncode == 2, "a reason is wanted"


def test_a_policy_goes_into_a_file_and_comes_back(server: LiveServer, tmp_path: Path) -> None:
    server.cli("policy", "set", "--site", "docs", "--split", "30", "--cookie", "--reason", "a")
    server.cli("policy", "set", "--dc", "local", "--scheme", "legacy-compiled", "--reason", "b")
    server.cli("policy", "set", "--percent", "12.5", "--shadow", "1", "--server-timing", "--reason", "c")
    file = tmp_path / "policy.json"
    file.write_text(server.cli("policy", "show", "--json").stdout)
    for _ in range(3):
        server.cli("policy", "undo")
    stale = server.cli("policy", "set", "--file", str(file), "--reason", "back", check=False)
    assert (stale.returncode, "policy log" in stale.stderr) == (1, True), "it would undo what was set since"
    members = json.loads(file.read_text())
    del members["generation"]
    file.write_text(json.dumps(members))
    server.cli("policy", "set", "--file", str(file), "--reason", "back")
    shown = json.loads(server.cli("policy", "show", "--json").stdout)
    assert {**members, "generation": 7} == shown
    again = server.cli("policy", "set", "--file", str(file), "--reason", "the same")
    assert "nothing was changed" in again.stdout
    assert json.loads(server.cli("policy", "show", "--json").stdout) == shown
    file.write_text(file.read_text().replace("12.5", "101"))
    assert server.cli("policy", "set", "--file", str(file), "--reason", "x", check=False).returncode == 1
    assert json.loads(server.cli("policy", "show", "--json").stdout) == shown


def test_a_table_goes_out_byte_for_byte_and_comes_in_again(server: LiveServer, tmp_path: Path) -> None:
    shown = json.loads(server.cli("legacy", "show", "docs", "--json").stdout)
    assert (shown["filters_count"], shown["dual_write"], shown["problem"]) == (2, True, None)
    table, pipelines = tmp_path / "table.json", tmp_path / "pipelines.json"
    server.cli("legacy", "export", "docs", "--out", str(table))
    server.cli("legacy", "export", "docs", "--pipelines", "--out", str(pipelines))
    assert server.cli("legacy", "export", "docs").stdout == table.read_text()
    assert table.read_text().startswith(
        r'{"filters":[{"pattern":"^(?:docs.pages.localhost(?:[:][0-9]+)?\\/(?<p1>.*))$","script_hash":"'
    )
    (told,) = json.loads(server.cli("legacy", "import", str(table), str(pipelines), "--json").stdout)
    assert (told["added"], told["kept"], told["problems"]) == (0, 2, [])
    table.write_text(table.read_text().replace("docs.pages", "docs-pages", 1))
    done = server.cli("legacy", "import", str(table), check=False)
    assert done.returncode == 1


def test_import_names_each_pattern_that_it_does_not_know(server: LiveServer, tmp_path: Path) -> None:
    table = json.loads(server.cli("legacy", "export", "docs").stdout)
    table["filters"] += [{"pattern": pattern, "script_hash": "0"} for pattern in ("^(a+)+$", r"^(?:b\/(?<p1>.*))$")]
    file = tmp_path / "table.json"
    file.write_text(json.dumps(table))
    done = server.cli("legacy", "import", str(file), check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["filter 3", "filter 4"]
    assert "nothing taken in, 2 problems" in done.stdout


def test_dual_write_off_and_on_again_makes_up_for_what_was_missed(server: LiveServer, tmp_path: Path) -> None:
    server.cli("policy", "set", "--scheme", "legacy", "--server-timing", "--reason", "x")
    server.cli("legacy", "dual-write", "docs", "off")
    (tmp_path / "site" / "index.html").write_text("newer")
    server.cli("deploy", str(tmp_path / "site"), "--project", "docs", "--branch", "main", cwd=tmp_path)
    answer = server.get("docs.pages.localhost")
    assert answer.body == b"newer"
    assert 'desc="hashed"' in (answer.field("server-timing") or "")
    assert server.cli("check").returncode == 0
    assert "3 filters" in server.cli("legacy", "dual-write", "docs", "on").stdout
    answer = server.get("docs.pages.localhost")
    assert answer.body == b"newer"
    assert 'desc="legacy"' in (answer.field("server-timing") or "")
    assert server.cli("check").returncode == 0
    assert server.cli("legacy", "dual-write", "docs", "perhaps", check=False).returncode == 2
    assert server.cli("legacy", "dual-write", "nobody", "on", check=False).returncode == 1


def test_legacy_only_seeds_are_served_by_their_tables_and_sound(server: LiveServer) -> None:
    server.cli("seed", "--sites", "2", "--deployments", "40", "--legacy-only")
    checked = json.loads(server.cli("check", "--json").stdout)
    assert checked["faults"] == []
    assert (checked["checked"]["hosts_without_route_yet"], checked["checked"]["routing_tables"]) == (42, 3)
    deployments = json.loads(server.cli("deployment", "list", "seed-2", "--json").stdout)
    for host in ("seed-2.pages.localhost", f"{deployments[3]['short_id']}.seed-2.pages.localhost"):
        assert server.get(host).status == 200
        assert (route(server, host)["scheme"], route(server, host)["wanted_scheme"]) == ("legacy", "hashed")
    assert server.get("ffffffff.seed-2.pages.localhost").status == 404
    server.cli("deployment", "delete", "seed-2", deployments[3]["short_id"], "--yes", check=False)
    assert server.cli("gc").returncode == 0
    assert server.get(f"{deployments[4]['short_id']}.seed-2.pages.localhost").status == 200
    assert json.loads(server.cli("check", "--json").stdout)["faults"] == []
    assert server.cli("seed", "--sites", "1", "--deployments", "100001", "--legacy-only", check=False).returncode == 1


def test_differences_are_shown_and_forgotten(server: LiveServer) -> None:
    assert "none found" in server.cli("route", "differences").stdout
    (server.data / "differences").mkdir()
    line = {
        "when": "2026",
        "host": "a.test",
        "site_no": 1,
        "served": "hashed",
        "hashed": "{}",
        "legacy": None,
        "reason": "r",
    }
    (server.data / "differences" / "1.jsonl").write_text(json.dumps(line) + "\n")
    assert json.loads(server.cli("route", "differences", "--json").stdout) == [line]
    assert "a.test" in server.cli("route", "differences", "--clear").stdout
    assert "none found" in server.cli("route", "differences").stdout
