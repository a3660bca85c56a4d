"""`onehop migrate …` on a server that serves: what each command says, refuses and takes back."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from migration.progress import read_progress
from onehop.data_folder import DataFolder
from onehop.opened_store import OpenedStore, opened
from router.hashed import delete_route, put_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.pipeline import Pipeline
from tests.conftest import LiveServer, Serve, serving

HOSTS = 33


@pytest.fixture
def server(serve: Serve) -> LiveServer:
    """Three sites that only their tables know, served by the legacy scheme."""
    server = serve()
    server.cli("seed", "--sites", "3", "--deployments", "30", "--legacy-only")
    server.cli("policy", "set", "--scheme", "legacy", "--reason", "the old way first")
    return server


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The same, for what must change nothing."""
    with serving(tmp_path_factory.mktemp("untouched") / "data") as server:
        server.cli("seed", "--sites", "3", "--deployments", "30", "--legacy-only")
        server.cli("policy", "set", "--scheme", "legacy", "--reason", "the old way first")
        yield server


@contextmanager
def store_of(server: LiveServer) -> Iterator[OpenedStore]:
    with opened(DataFolder(server.data)) as it:
        yield it


def told(server: LiveServer, *arguments: str, check: bool = True) -> dict[str, object]:
    document: dict[str, object] = json.loads(server.cli("migrate", *arguments, "--json", check=check).stdout)
    return document


def refused(server: LiveServer, *arguments: str) -> str:
    done = server.cli("migrate", *arguments, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, "one line that says what to do"
    return done.stderr


def test_plan_counts_and_writes_nothing(untouched: LiveServer) -> None:
    planned = told(untouched, "plan")
    assert (planned["sites"], planned["total"], planned["to_migrate"], planned["failed"]) == (3, HOSTS, HOSTS, 0)
    with store_of(untouched) as it, it.store.read() as snapshot:
        assert snapshot.count(Database.ROUTES) == 0
        assert read_progress(snapshot) is None


def test_from_tables_to_routes_and_the_tables_gone_with_every_answer_the_same(server: LiveServer) -> None:
    hosts = [f"seed-{number}.pages.localhost" for number in (1, 2, 3)]
    before = [server.get(host) for host in hosts]
    done = told(server, "run", "--no-guard")
    assert {name: done[name] for name in ("state", "total", "migrated", "failed", "skipped")} == {
        "state": "complete", "total": HOSTS, "migrated": HOSTS, "failed": 0, "skipped": 0,
    }  # fmt: skip
    status = told(server, "status")
    assert status.keys() >= {"state", "total", "migrated", "failed", "skipped", "rate"}
    assert told(server, "verify")["differences_count"] == 0
    assert told(server, "rollout", "--step", "50", "--hold", "0.3s")["percent"] == 100.0
    server.cli("policy", "set", "--scheme", "hashed", "--reason", "rolled out")
    cleaned = told(server, "cleanup", "--yes")
    assert (len(cleaned["dropped"]), cleaned["refused"]) == (3, [])  # type: ignore[arg-type]
    assert [(answer.status, answer.body) for answer in map(server.get, hosts)] == [
        (answer.status, answer.body) for answer in before
    ]
    assert server.cli("check").returncode == 0


def test_what_was_dropped_is_kept_and_comes_back(server: LiveServer, tmp_path: Path) -> None:
    with store_of(server) as it, it.store.read() as snapshot:
        table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(1))
    told(server, "run", "--no-guard")
    told(server, "verify")
    server.cli("policy", "set", "--scheme", "hashed", "--reason", "done")
    told(server, "cleanup", "--yes", "--keep", str(tmp_path / "kept"))
    assert (tmp_path / "kept" / "seed-1.table.json").read_bytes() == table
    assert "--dual-write-on" in server.cli("legacy", "import", str(tmp_path / "kept"), check=False).stderr
    (tmp_path / "kept" / "seed-0.table.json").write_text("cut")
    back = server.cli("legacy", "import", str(tmp_path / "kept"), "--dual-write-on", check=False)
    assert (back.returncode, back.stdout.count("nothing to add, 11 hosts show what they showed")) == (1, 3)
    assert "seed-0.table.json isn't JSON" in back.stderr
    assert told(server, "verify")["hosts_same"] == HOSTS
    server.cli("policy", "set", "--scheme", "legacy", "--reason", "back to the tables")
    assert server.get("seed-1.pages.localhost").status == 200


def test_cleanup_before_verify_is_refused_site_by_site(server: LiveServer) -> None:
    told(server, "run", "--no-guard")
    server.cli("policy", "set", "--scheme", "hashed", "--reason", "too soon")
    kept = told(server, "cleanup", "--yes", check=False)
    assert kept["dropped"] == []
    assert all("hasn't verified" in each["reason"] for each in kept["refused"])  # type: ignore[attr-defined]
    with store_of(server) as it, it.store.write() as transaction:
        delete_route(transaction, it.keys, Hostname("seed-2.pages.localhost"))
    told(server, "verify", check=False)
    (kept_site,) = told(server, "cleanup", "--yes", check=False)["refused"]  # type: ignore[misc]
    assert kept_site["site"] == "seed-2"
    assert "1 differ, such as seed-2.pages.localhost: only the table has it" in kept_site["reason"]


def test_cleanup_asks_and_takes_silence_for_no(server: LiveServer) -> None:
    told(server, "run", "--no-guard")
    told(server, "verify")
    server.cli("policy", "set", "--scheme", "hashed", "--reason", "done")
    assert "--yes" in refused(server, "cleanup")
    with store_of(server) as it, it.store.read() as snapshot:
        assert snapshot.count(Database.LEGACY_TABLES) == 3


@pytest.mark.parametrize("rate", ["0", "-5", "many", ""])
def test_a_rate_that_is_none_is_refused(untouched: LiveServer, rate: str) -> None:
    assert "--rate" in refused(untouched, "set", "--rate", rate)
    assert "--rate" in refused(untouched, "run", "--rate", rate)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--hours", "soon"),
        ("run", "--hours", "22:00-06:00-07:00"),
        ("run", "--sites", "nobody"),
        ("run", "--dc", "nowhere"),
        ("set", "--rate", "5"),
        ("rollout", "--to", "101"),
        ("rollout", "--hold", "a while"),
        ("verify", "--sites", "nobody"),
        ("pause",),
        ("resume",),
        ("retry",),
        ("report",),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(untouched: LiveServer, arguments: tuple[str, ...]) -> None:
    refused(untouched, *arguments)
    with store_of(untouched) as it, it.store.read() as snapshot:
        assert read_progress(snapshot) is None
        assert snapshot.count(Database.ROUTES) == 0


def job_under_way(server: LiveServer, until: Callable[[dict[str, object]], bool], rate: str) -> "subprocess.Popen[str]":
    job = subprocess.Popen(
        [sys.executable, "-m", "onehop", "migrate", "run", "--no-guard", "--rate", rate, "--json"],
        env=server.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not until(told(server, "status")):
        assert job.poll() is None, "it ended before it was seen"
    return job


def test_a_second_run_is_refused_with_the_id_of_the_first(server: LiveServer) -> None:
    job = job_under_way(server, lambda status: status.get("state") == "collecting", rate="1")
    try:
        running = told(server, "status")["job"]
        assert str(running) in refused(server, "run")
    finally:
        job.kill()
        job.communicate()


def test_a_job_is_paused_sped_up_and_resumed_while_it_runs(server: LiveServer) -> None:
    job = job_under_way(server, lambda status: status.get("state") == "collecting", rate="1")
    server.cli("migrate", "pause")
    assert told(server, "status")["state"] == "paused"
    server.cli("migrate", "set", "--rate", "100000")
    server.cli("migrate", "resume")
    output, _ = job.communicate(timeout=60)
    assert (json.loads(output)["migrated"], json.loads(output)["state"]) == (HOSTS, "complete")


def test_ctrl_c_ends_it_in_a_moment_and_the_next_run_goes_on(server: LiveServer) -> None:
    job = job_under_way(server, lambda status: status.get("state") == "collecting", rate="1")
    job.send_signal(signal.SIGINT)
    _, complaint = job.communicate(timeout=20)
    assert job.returncode == 130
    assert complaint.count("\n") == 1
    assert "onehop migrate run" in complaint
    status = told(server, "status")
    assert (status["stage"], status["eta_s"]) == ("collecting", None)
    assert "onehop migrate run" in str(status["reason"])
    done = told(server, "run", "--no-guard", "--rate", "100000")
    assert (done["job"], done["migrated"], done["total"], done["skipped"]) == (status["job"], HOSTS, HOSTS, 0)


def test_status_answers_while_a_writer_is_stopped_in_the_middle(server: LiveServer) -> None:
    with store_of(server) as it:
        job = job_under_way(server, lambda status: status.get("state") == "collecting", rate="1")
        with it.store.write():  # a writer that doesn't come to its end, as one would be that was stopped
            assert told(server, "status")["state"] in ("collecting", "writing")
            assert "under way" in refused(server, "run")
        job.kill()
        job.communicate()


def test_what_failed_is_named_and_tried_again(server: LiveServer) -> None:
    with store_of(server) as it, it.store.write() as transaction:
        whole = transaction.get(Database.LEGACY_TABLES, SITE_NO.pack(2))
        assert whole is not None
        transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(2), whole[:-9])
    assert told(server, "run", "--no-guard", check=False)["failed"] == 1
    (failure,) = json.loads(server.cli("migrate", "failures", "--json").stdout)
    assert (failure["site"], failure["what"]) == ("seed-2", "table")
    with store_of(server) as it, it.store.write() as transaction:
        transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(2), whole)
    retried = told(server, "retry", "--no-guard")
    assert (retried["total"], retried["migrated"], retried["failed"]) == (11, 11, 0)
    assert json.loads(server.cli("migrate", "failures", "--json").stdout) == []


def test_a_planted_wrong_route_takes_the_rollout_back_and_says_why(server: LiveServer, tmp_path: Path) -> None:
    told(server, "run", "--no-guard")
    with store_of(server) as it, it.store.write() as transaction:
        other = next(value for key, value in transaction.scan(Database.ROUTES))
        wrong = Pipeline(2, Pipeline.parse(other).manifest, is_preview=True)
        put_route(transaction, it.keys, Hostname("seed-2.pages.localhost"), wrong)
    for verify in ("--verify", "--no-verify"):
        asked = threading.Event()
        visitor = threading.Thread(target=ask_until, args=(server, "seed-2.pages.localhost", asked))
        visitor.start()
        server.cli("policy", "set", "--shadow", "100", "--reason", "look at all of them")
        try:
            said = refused_rollout(server, verify)
        finally:
            asked.set()
            visitor.join()
        assert "taken back" in said
        policy = json.loads(server.cli("policy", "show", "--json").stdout)
        assert (policy["percentage"], policy["default"]) == (None, "legacy")
    log = server.cli("policy", "log").stdout
    assert "taken back" in log
    page = tmp_path / "report.html"
    server.cli("migrate", "report", "--out", str(page))
    assert "taken back" in page.read_text()


def refused_rollout(server: LiveServer, verify: str) -> str:
    done = server.cli("migrate", "rollout", verify, "--step", "50", "--hold", "4s", check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def ask_until(server: LiveServer, host: str, stop: threading.Event) -> None:
    while not stop.is_set():
        server.get(host)


def test_a_rollout_without_a_legacy_default_is_refused(server: LiveServer) -> None:
    server.cli("policy", "set", "--scheme", "hashed", "--reason", "new")
    assert "default" in refused(server, "rollout")
