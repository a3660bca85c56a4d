"""The commands over the API and on the store, against a running server."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveServer


@pytest.fixture(scope="module")
def server(live_server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> LiveServer:
    """One site, `shop`: two production deployments and a preview."""
    folder = tmp_path_factory.mktemp("shop")
    for text, options in (("old", ()), ("new", ()), ("draft", ("--branch", "draft"))):
        (folder / "index.html").write_text(text)
        live_server.cli("deploy", str(folder), "--project", "shop", *options, cwd=folder)
    return live_server


def read(server: LiveServer, *arguments: str) -> Any:
    return json.loads(server.cli(*arguments, "--json").stdout)


def short_ids(server: LiveServer) -> list[str]:
    return [each["short_id"] for each in read(server, "deployment", "list", "shop")]


def test_site_list_and_show_tell_of_it(server: LiveServer) -> None:
    assert [site["name"] for site in read(server, "site", "list")] == ["shop"]
    assert read(server, "site", "show", "shop")["keep_days"] == 7
    assert "shop.pages.localhost" in server.cli("site", "show", "shop").stdout


def test_site_alias_tells_the_address_before_any_build(server: LiveServer) -> None:
    alias = read(server, "site", "alias", "shop", "feature/a-branch-with-quite-a-long-name")
    assert not alias["exists"]
    assert len(alias["slug"]) <= 28
    assert alias["url"] in server.cli("site", "alias", "shop", "feature/a-branch-with-quite-a-long-name").stdout


def test_site_set_changes_settings_and_needs_one(server: LiveServer) -> None:
    assert read(server, "site", "set", "shop", "--keep-days", "3")["keep_days"] == 3
    assert server.cli("site", "set", "shop", check=False).returncode == 2


def test_site_create_domain_and_delete(server: LiveServer) -> None:
    server.cli("site", "create", "gone")
    server.cli("site", "domain", "add", "gone", "www.gone.example")
    assert [each["name"] for each in read(server, "site", "domain", "list", "gone")] == ["www.gone.example"]
    server.cli("site", "domain", "remove", "gone", "www.gone.example")
    assert read(server, "site", "domain", "list", "gone") == []
    server.cli("site", "delete", "gone", "--yes")
    assert server.cli("site", "show", "gone", check=False).returncode == 1


def test_rollback_and_promote_change_what_production_shows(server: LiveServer) -> None:
    draft, new, old = short_ids(server)
    server.cli("deployment", "rollback", "shop", old)
    assert read(server, "site", "show", "shop")["canonical_deployment"]["short_id"] == old
    server.cli("deployment", "promote", "shop", draft)
    assert read(server, "site", "show", "shop")["canonical_deployment"]["short_id"] == draft
    server.cli("deployment", "rollback", "shop", new)


def test_deployment_is_found_by_id_short_id_and_url(server: LiveServer) -> None:
    newest = read(server, "deployment", "list", "shop")[0]
    for name in (newest["id"], newest["short_id"], newest["url"]):
        assert read(server, "deployment", "show", "shop", name)["id"] == newest["id"]


def test_files_and_log_of_a_deployment_are_listed(server: LiveServer) -> None:
    newest = short_ids(server)[0]
    assert [file["path"] for file in read(server, "deployment", "files", "shop", newest)] == ["/index.html"]
    assert read(server, "deployment", "log", "shop", newest)


def test_unknown_deployment_is_one_line_that_names_the_list(server: LiveServer) -> None:
    done = server.cli("deployment", "show", "shop", "00000000", check=False)
    assert done.returncode == 1
    assert "deployment list shop" in done.stderr


def test_the_deployment_in_production_is_not_deleted(server: LiveServer) -> None:
    live = read(server, "site", "show", "shop")["canonical_deployment"]["short_id"]
    assert server.cli("deployment", "delete", "shop", live, "--force", check=False).returncode == 1


def test_token_is_shown_once_works_and_can_be_revoked(server: LiveServer) -> None:
    made = read(server, "token", "create", "ci", "--project", "shop", "--access", "read")
    listed = read(server, "token", "list")
    assert made["id"] in {token["id"] for token in listed}
    assert not any("token" in token for token in listed)
    server.cli("token", "revoke", made["id"])
    assert made["id"] not in {token["id"] for token in read(server, "token", "list")}


def test_gc_dry_run_removes_nothing(server: LiveServer) -> None:
    assert read(server, "gc", "--dry-run")["is_dry_run"] is True


def test_route_tells_each_step(server: LiveServer) -> None:
    told = read(server, "route", "http://Shop.pages.localhost:8787/some/path")
    assert (told["host"], told["site"], told["scheme"], told["rule"]) == (
        "shop.pages.localhost", "shop", "hashed", "default",
    )  # fmt: skip
    assert told["pipeline"]["preview"] is False
    assert set(told["timings"]) == {"parse_us", "hash_us", "get_us"}


def test_route_of_an_unknown_or_impossible_host_exits_1(server: LiveServer) -> None:
    unknown = server.cli("route", "nobody.pages.localhost", check=False)
    assert (unknown.returncode, unknown.stderr) == (1, "")
    assert server.cli("route", "not a host", check=False).returncode == 1


def test_keys_rotate_while_hosts_are_served(server: LiveServer) -> None:
    (before,) = read(server, "keys", "list")
    told = read(server, "keys", "rotate")
    (after,) = read(server, "keys", "list")
    assert after["id"] == told["key"] != before["id"]
    assert server.get("shop.pages.localhost").status == 200


def test_tables_are_whole_lines_for_other_programs(server: LiveServer) -> None:
    lines = server.cli("deployment", "list", "shop").stdout.splitlines()
    assert len(lines) == 1 + len(short_ids(server))


def test_what_a_commit_says_cannot_steer_the_terminal(server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    server.cli(
        "deploy",
        str(tmp_path),
        "--project",
        "rude",
        "--branch",
        "main",
        "--commit-message",
        "\x1b[2J[red]gone",
        cwd=tmp_path,
    )
    newest = read(server, "deployment", "list", "rude")[0]
    shown = server.cli("deployment", "show", "rude", newest["short_id"]).stdout
    assert "\x1b" not in shown
    assert "[red]gone" in shown
    server.cli("site", "delete", "rude", "--yes")
