"""`onehop deploy` against a running server: what is sent, what becomes live, what it says."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveServer


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def deploy(server: LiveServer, folder: Path, site: str, *options: str) -> dict[str, Any]:
    done = server.cli("deploy", str(folder), "--project", site, "--json", *options, cwd=folder)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_first_deploy_makes_the_site_and_is_live_at_both_hosts(live_server: LiveServer, tmp_path: Path) -> None:
    told = deploy(live_server, make(tmp_path, {"index.html": "first", "a/b.txt": "b"}), "one")
    assert told["created_project"]
    assert told["environment"] == "production"
    assert (told["files"], told["uploaded"], told["uploaded_bytes"]) == (2, 2, 6)
    assert told["id"].startswith(told["short_id"])
    assert live_server.get("one.pages.localhost").body == b"first"
    assert live_server.get(f"{told['short_id']}.one.pages.localhost").body == b"first"


def test_second_deploy_of_the_same_files_uploads_nothing(live_server: LiveServer, tmp_path: Path) -> None:
    make(tmp_path, {"index.html": "same", "twin.html": "same"})
    assert deploy(live_server, tmp_path, "two")["uploaded"] == 1
    again = deploy(live_server, tmp_path, "two")
    assert (again["uploaded"], again["uploaded_bytes"], again["created_project"]) == (0, 0, False)


def test_branch_gets_an_alias_and_leaves_production_alone(live_server: LiveServer, tmp_path: Path) -> None:
    deploy(live_server, make(tmp_path, {"index.html": "production"}), "three")
    told = deploy(live_server, make(tmp_path, {"index.html": "preview"}), "three", "--branch", "feature/x")
    assert told["environment"] == "preview"
    assert any("//feature-x.three.pages.localhost" in alias for alias in told["aliases"])
    assert live_server.get("three.pages.localhost").body == b"production"
    assert live_server.get("feature-x.three.pages.localhost").body == b"preview"


def test_rules_are_sent_and_refused_lines_come_back_as_warnings(live_server: LiveServer, tmp_path: Path) -> None:
    files = {
        "index.html": "x",
        "_redirects": "/old / 301\n/too many words in here\n",
        "_headers": "/*\n  X-Deployed: yes\n",
    }
    told = deploy(live_server, make(tmp_path, files), "four")
    assert [warning.partition(":")[0] for warning in told["warnings"]] == ["_redirects line 2"]
    assert live_server.get("four.pages.localhost", "/old").status == 301
    assert live_server.get("four.pages.localhost").field("x-deployed") == "yes"


def test_names_that_urls_must_encode_are_served(live_server: LiveServer, tmp_path: Path) -> None:
    deploy(live_server, make(tmp_path, {"naïve file %20#?.txt": "odd"}), "five")
    assert live_server.get("five.pages.localhost", "/na%C3%AFve%20file%20%2520%23%3F.txt").body == b"odd"


def test_git_fills_in_what_was_not_given(live_server: LiveServer, tmp_path: Path) -> None:
    make(tmp_path, {"index.html": "x"})
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q", "-b", "trunk"], ["add", "."], ["commit", "-q", "-m", "Why"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    told = deploy(live_server, tmp_path, "six")
    assert (told["branch"], told["environment"]) == ("trunk", "production")
    shown = json.loads(live_server.cli("deployment", "show", "six", told["short_id"], "--json").stdout)
    metadata = shown["deployment_trigger"]["metadata"]
    assert (metadata["commit_message"], metadata["commit_dirty"], len(metadata["commit_hash"])) == ("Why", False, 40)


def test_no_create_refuses_an_unknown_site(live_server: LiveServer, tmp_path: Path) -> None:
    make(tmp_path, {"index.html": "x"})
    done = live_server.cli("deploy", str(tmp_path), "--project", "unheard-of", "--no-create", check=False)
    assert done.returncode == 1
    assert "site create unheard-of" in done.stderr


def test_too_large_a_file_is_named_and_nothing_is_made(live_server: LiveServer, tmp_path: Path) -> None:
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(26_214_401)
    done = live_server.cli("deploy", str(tmp_path), "--project", "seven", check=False)
    assert done.returncode == 1
    assert "/huge.bin" in done.stderr
    assert live_server.cli("site", "show", "seven", check=False).returncode == 1


def test_worker_file_is_deployed_as_a_function(live_server: LiveServer, tmp_path: Path) -> None:
    make(tmp_path, {"_worker.js": "export default { fetch() { return new Response('x') } }", "index.html": "x"})
    told = deploy(live_server, tmp_path, "eight")
    shown = json.loads(live_server.cli("deployment", "show", "eight", told["short_id"], "--json").stdout)
    assert shown["uses_functions"] is True


def test_many_files_go_in_several_buckets(live_server: LiveServer, tmp_path: Path) -> None:
    make(tmp_path, {f"{number}.txt": f"file {number}" for number in range(1_200)})
    told = deploy(live_server, tmp_path, "nine")
    assert (told["files"], told["uploaded"]) == (1_200, 1_200)
    assert live_server.get("nine.pages.localhost", "/1199.txt").body == b"file 1199"


def test_output_for_people_names_where_it_is_live(live_server: LiveServer, tmp_path: Path) -> None:
    done = live_server.cli("deploy", str(make(tmp_path, {"index.html": "x"})), "--project", "ten", cwd=tmp_path)
    assert "http://ten.pages.localhost" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("option", ["--project=UPPER", "--project=-x", "--project=a/b"])
def test_a_name_that_no_site_can_have_is_refused_in_one_line(
    live_server: LiveServer, tmp_path: Path, option: str
) -> None:
    done = live_server.cli("deploy", str(make(tmp_path, {"index.html": "x"})), option, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
