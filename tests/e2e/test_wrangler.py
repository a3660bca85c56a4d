"""Unmodified wranglers, old and new, do against Onehop what people do with them; the sites are then asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import LiveServer, serving
from tests.e2e.wrangler_client import WranglerClient, said, target_of, write_tree
from tests.real_parts import WRANGLER_VERSIONS, find_wrangler

PAGE: Final = b"<!doctype html><title>Onehop</title><h1>it works</h1>\n"
ASSETS: Final = {
    "index.html": PAGE,
    "noext": b"no extension\n",
    "A.TXT": b"upper case\n",
    "empty.txt": b"",
    ".hidden": b"x",
    ".well-known/security.txt": b"Contact: mailto:a@b.example\n",
    "naïve file %20#?.txt": b"odd name\n",
    "quote'\" [b] {c} ~&=+,;@$!.txt": b"odder name\n",
    "deep/er/and/deeper/file.tar.gz": bytes(range(256)),
    "sub/_headers": b"an ordinary asset\n",
    "sub/_redirects": b"an ordinary asset too\n",
    "same-a.txt": b"the same bytes\n",
    "same-b.txt": b"the same bytes\n",
    "日本語.json": b"{}",
    "big.bin": b"\0\1\2\3" * 300_000,
}
NOT_UPLOADED: Final = {
    "node_modules/a.js": b"never",
    "sub/node_modules/b.js": b"never",
    ".git/HEAD": b"never",
    ".DS_Store": b"never",
    ".wrangler/c.json": b"never",
}
RULES: Final = {
    "_headers": b"/index.html\n  X-Never: 1\n/*\n  X-Everywhere: yes\n",
    "_redirects": b"/old/* /new/:splat 301\n/bad line with five tokens\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("wrangler") / "data") as running:
        yield running


@pytest.fixture(scope="module", params=WRANGLER_VERSIONS)
def wrangler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: LiveServer
) -> WranglerClient:
    found = find_wrangler(request.param)
    return WranglerClient(found, server, tmp_path_factory.mktemp("home"))


@pytest.fixture
def project(wrangler: WranglerClient, request: pytest.FixtureRequest) -> str:
    """A fresh project, named after the test and the wrangler."""
    words = request.node.originalname.removeprefix("test_").split("_")
    name = f"{'-'.join(words)[:40].strip('-')}-w{wrangler.wrangler.version.replace('.', '-')}"
    wrangler.create(name)
    return name


def test_whoami_shows_the_one_account(wrangler: WranglerClient) -> None:
    assert "Onehop" in wrangler.run("whoami")


def test_a_project_is_created_listed_and_deleted(wrangler: WranglerClient) -> None:
    name = f"comes-and-goes-{wrangler.wrangler.version.replace('.', '-')}"
    assert f"{name}.pages.localhost" in wrangler.create(name)
    assert name in wrangler.run("pages", "project", "list")
    assert wrangler.server.get(f"{name}.pages.localhost").status == 404
    wrangler.run("pages", "project", "delete", name, "--yes")
    assert name not in wrangler.run("pages", "project", "list")


def test_more_projects_than_a_page_holds_are_all_listed(wrangler: WranglerClient) -> None:
    names = [f"many-{number}-{wrangler.wrangler.version.replace('.', '-')}" for number in range(12)]
    for name in names:
        answer = wrangler.server.api(
            "POST", f"{wrangler.account_path}/pages/projects", {"name": name, "production_branch": "m"}
        )
        assert answer["success"], answer
    printed = wrangler.run("pages", "project", "list")
    assert [name for name in names if name not in printed] == []


def test_every_file_answers_at_the_deployment_and_production_hosts(
    wrangler: WranglerClient, project: str, tmp_path: Path
) -> None:
    deployment_host = wrangler.deploy(write_tree(tmp_path, {**ASSETS, **NOT_UPLOADED, **RULES}), project)
    assert deployment_host.endswith(f".{project}.pages.localhost")
    for host in (deployment_host, f"{project}.pages.localhost"):
        for path, content in ASSETS.items():
            target = "/" if path == "index.html" else target_of(path)
            answer = wrangler.server.get(host, target)
            assert (path, answer.status, answer.body) == (path, 200, content)
            assert answer.field("x-everywhere") == "yes"
        redirect = wrangler.server.get(host, "/old/a/b?q=1")
        assert (redirect.status, redirect.field("location")) == (301, "/new/a/b?q=1")
        for path in (*NOT_UPLOADED, *RULES):
            # Without a 404.html every missing path is the front page, as for a single-page app.
            assert wrangler.server.get(host, target_of(path)).body == PAGE


def test_deploying_the_same_again_uploads_nothing(wrangler: WranglerClient, project: str, tmp_path: Path) -> None:
    folder = write_tree(tmp_path, ASSETS)
    first_host = wrangler.deploy(folder, project)
    printed = wrangler.run("pages", "deploy", str(folder), "--project-name", project, "--branch", "main")
    assert f"Uploaded 0 files ({len(ASSETS)} already uploaded)" in printed
    assert wrangler.server.get(first_host).body == PAGE


def test_a_changed_file_is_live_at_once_and_the_older_deployment_stays(
    wrangler: WranglerClient, project: str, tmp_path: Path
) -> None:
    old_host = wrangler.deploy(write_tree(tmp_path, {"index.html": b"old", "gone.txt": b"gone"}), project)
    (tmp_path / "gone.txt").unlink()
    new_host = wrangler.deploy(write_tree(tmp_path, {"index.html": b"new"}), project)
    bodies = {host: wrangler.server.get(host).body for host in (old_host, new_host, f"{project}.pages.localhost")}
    assert list(bodies.values()) == [b"old", b"new", b"new"]
    assert wrangler.server.get(old_host, "/gone.txt").body == b"gone"


def test_a_branch_has_its_own_address_and_leaves_production_alone(
    wrangler: WranglerClient, project: str, tmp_path: Path
) -> None:
    wrangler.deploy(write_tree(tmp_path, {"index.html": b"main"}), project)
    preview_host = wrangler.deploy(write_tree(tmp_path, {"index.html": b"branch"}), project, branch="Feature/One.two")
    alias = wrangler.server.get(f"feature-one-two.{project}.pages.localhost")
    preview = wrangler.server.get(preview_host)
    production = wrangler.server.get(f"{project}.pages.localhost")
    assert [answer.body for answer in (alias, preview, production)] == [b"branch", b"branch", b"main"]
    assert alias.field("x-robots-tag") == preview.field("x-robots-tag") == "noindex"
    assert production.field("x-robots-tag") is None


def test_deployments_are_listed_newest_first_and_deleted(
    wrangler: WranglerClient, project: str, tmp_path: Path
) -> None:
    hosts = [
        wrangler.deploy(write_tree(tmp_path, {"index.html": f"{number}".encode()}), project) for number in range(2)
    ]
    hosts.append(wrangler.deploy(tmp_path, project, branch="side"))
    listed = json.loads(wrangler.try_to("pages", "deployment", "list", "--project-name", project, "--json").stdout)
    assert [row["Id"][:8] for row in listed] == [host[:8] for host in reversed(hosts)]
    assert [row["Environment"] for row in listed] == ["Preview", "Production", "Production"]

    wrangler.run("pages", "deployment", "delete", listed[2]["Id"], "--project-name", project, "--force")
    assert wrangler.server.get(hosts[0]).status == 404
    live = wrangler.try_to("pages", "deployment", "delete", listed[1]["Id"], "--project-name", project, "--force")
    assert live.returncode == 1
    assert wrangler.server.get(hosts[1]).body == b"1"
    wrangler.run("pages", "deployment", "delete", listed[0]["Id"], "--project-name", project, "--force")
    assert wrangler.server.get(f"side.{project}.pages.localhost").status == 404


def test_secrets_are_put_in_bulk_listed_and_deleted_and_never_shown(wrangler: WranglerClient, project: str) -> None:
    of_project = ("--project-name", project)
    wrangler.run("pages", "secret", "put", "FIRST", *of_project, stdin="value-one\n")
    wrangler.run("pages", "secret", "bulk", *of_project, stdin=json.dumps({"SECOND": "value-two", "THIRD": "v3"}))
    listed = wrangler.run("pages", "secret", "list", *of_project)
    assert [name for name in ("FIRST", "SECOND", "THIRD") if name not in listed] == []
    assert "value-" not in listed
    assert "value-" not in json.dumps(wrangler.server.api("GET", f"{wrangler.account_path}/pages/projects/{project}"))
    wrangler.run("pages", "secret", "delete", "SECOND", *of_project)
    listed = wrangler.run("pages", "secret", "list", *of_project)
    assert ("SECOND" in listed, "FIRST" in listed, "THIRD" in listed) == (False, True, True)


def test_a_project_is_downloaded_as_a_configuration_file(
    wrangler: WranglerClient, project: str, tmp_path: Path
) -> None:
    wrangler.run("pages", "download", "config", project, "--force", cwd=tmp_path)
    written = [path.read_text() for path in tmp_path.glob("wrangler.*")]
    assert len(written) == 1
    assert f'"{project}"' in written[0]


def test_a_site_with_functions_serves_its_assets_and_says_that_functions_are_not_run(
    wrangler: WranglerClient, project: str, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "site", {"index.html": PAGE, "api/data.json": b"{}"})
    write_tree(
        tmp_path,
        {"functions/api/hello.js": b"export function onRequest() { return new Response('hello from a function') }\n"},
    )
    printed = wrangler.run("pages", "deploy", str(folder), "--project-name", project, "--branch", "main", cwd=tmp_path)
    assert "Compiled Worker" in printed
    host = f"{project}.pages.localhost"
    refused = wrangler.server.get(host, "/api/hello")
    assert refused.status == 503
    assert b"function" in refused.body.lower()
    assert wrangler.server.get(host).body == PAGE
    assert wrangler.server.get(host, "/api/data.json").body == b"{}"


def test_a_project_that_does_not_exist_fails_and_is_named(wrangler: WranglerClient, tmp_path: Path) -> None:
    folder = write_tree(tmp_path, {"index.html": PAGE})
    failed = wrangler.try_to("pages", "deploy", str(folder), "--project-name", "nowhere", "--branch", "main")
    assert failed.returncode == 1
    assert "nowhere" in said(failed)


def test_a_wrong_token_fails_and_deploys_nothing(wrangler: WranglerClient, project: str, tmp_path: Path) -> None:
    folder = write_tree(tmp_path, {"index.html": PAGE})
    failed = wrangler.try_to("pages", "deploy", str(folder), "--project-name", project, token="0" * 40)
    assert failed.returncode == 1
    assert wrangler.server.get(f"{project}.pages.localhost").status == 404
