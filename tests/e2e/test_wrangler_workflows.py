"""Unmodified wranglers, old and new, do with workflows what people do; `onehop workflow worker` runs these."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import LiveServer, serving
from tests.e2e.workflow_worker import described_until, workflows_path, working
from tests.e2e.wrangler_client import WranglerClient, said
from tests.real_parts import WRANGLER_VERSIONS, find_wrangler

WAITING: Final = ("running", "waiting")
NEWER_ONLY: Final = pytest.mark.parametrize("wrangler", ["4.164"], indirect=True)
"""What the older wrangler has no option for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("workflows") / "data") as running, working(running):
        yield running


@pytest.fixture(scope="module", params=WRANGLER_VERSIONS)
def wrangler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: LiveServer
) -> WranglerClient:
    return WranglerClient(find_wrangler(request.param), server, tmp_path_factory.mktemp("home"))


@pytest.fixture
def instance(wrangler: WranglerClient, request: pytest.FixtureRequest) -> str:
    """A fresh instance that waits for its courier, named after the test and the wrangler."""
    words = request.node.originalname.removeprefix("test_").replace("_", "-")[:60]
    name = f"{words}-w{wrangler.wrangler.version.replace('.', '-')}"
    wrangler.run("workflows", "trigger", "order", json.dumps({"n": 1}), "--id", name)
    described_until(wrangler.server, "order", name, *WAITING, steps=3)
    return name


def refused(wrangler: WranglerClient, *arguments: str) -> str:
    done = wrangler.try_to("workflows", *arguments)
    assert done.returncode == 1, said(done)
    return said(done)


def test_workflows_are_listed_and_described(wrangler: WranglerClient) -> None:
    printed = wrangler.run("workflows", "list")
    assert "order" in printed
    assert "Idle" in printed
    described = wrangler.run("workflows", "describe", "order")
    (version,) = wrangler.server.api("GET", f"{workflows_path(wrangler.server)}/order/versions")["result"]
    assert version["id"] in described


def test_an_instance_is_triggered_and_told_of_step_by_step(wrangler: WranglerClient) -> None:
    name = f"told-w{wrangler.wrangler.version.replace('.', '-')}"
    printed = wrangler.run("workflows", "trigger", "order", '{"failures": 1}', "--id", name)
    assert f'"{name}" has been queued' in printed
    described_until(wrangler.server, "order", name, *WAITING, steps=3)
    wrangler.run(
        "workflows", "instances", "send-event", "order", name, "--type", "picked-up", "--payload", '{"by":"a"}'
    )
    described_until(wrangler.server, "order", name, "complete")
    described = wrangler.run("workflows", "instances", "describe", "order", name)
    for text in (
        "Completed",
        "API",
        "charge-1",
        "rest-1",
        "courier-1",
        "mail-1",
        "the bank is closed",
        '{"receipt":"r-9"}',
    ):
        assert text in described
    assert "r-9" not in wrangler.run("workflows", "instances", "describe", "order", name, "--no-step-output")


def test_a_trigger_without_params_or_id_starts_one(wrangler: WranglerClient) -> None:
    assert "has been queued" in wrangler.run("workflows", "trigger", "order")


def test_instances_are_listed_by_state_and_the_latest_is_found(wrangler: WranglerClient, instance: str) -> None:
    assert instance in wrangler.run("workflows", "instances", "list", "order")
    wrangler.run("workflows", "instances", "terminate", "order", "latest")
    described_until(wrangler.server, "order", instance, "terminated")
    assert instance in wrangler.run("workflows", "instances", "list", "order", "--status", "terminated")
    assert instance in wrangler.run("workflows", "instances", "describe", "order", "latest")
    listed = wrangler.run("workflows", "instances", "list", "order", "--per-page", "1", "--page", "1")
    assert "Showing 1 instance" in listed


def test_row_62_a_page_past_the_end_is_a_warning(wrangler: WranglerClient) -> None:
    assert "No instances found on page 9" in wrangler.run("workflows", "instances", "list", "order", "--page", "9")


def test_row_61_the_latest_of_no_instances_is_an_error(wrangler: WranglerClient) -> None:
    assert "no deployed instances" in refused(wrangler, "instances", "describe", "idle", "latest")


def test_an_instance_is_paused_resumed_restarted_and_terminated(wrangler: WranglerClient, instance: str) -> None:
    for command, state in (
        ("pause", "paused"),
        ("resume", "running"),
        ("restart", "running"),
        ("terminate", "terminated"),
    ):
        wrangler.run("workflows", "instances", command, "order", instance)
        states = WAITING if state == "running" else (state,)
        described_until(wrangler.server, "order", instance, *states, steps=3 if state == "running" else 0)
    assert "Terminated" in wrangler.run("workflows", "instances", "describe", "order", instance)


def test_row_41_what_can_not_be_is_told_with_its_code(wrangler: WranglerClient, instance: str) -> None:
    wrangler.run("workflows", "instances", "terminate", "order", instance)
    for arguments, code in (
        (("instances", "terminate", "order", instance), 10406),
        (("instances", "pause", "order", instance), 10406),
        (("instances", "send-event", "order", instance, "--type", "x"), 10406),
        (("trigger", "order", "--id", instance), 10405),
        (("trigger", "order", "--id", "-x"), 10407),
        (("instances", "describe", "order", "nobody"), 10400),
        (("describe", "nothing"), 10200),
        (("trigger", "nothing"), 10200),
    ):
        if arguments[-1] == "-x":
            arguments = (*arguments[:-2], "--id=-x")
        assert f"[code: {code}]" in refused(wrangler, *arguments)


def test_row_63_an_event_type_with_a_slash_and_a_space_arrives(wrangler: WranglerClient) -> None:
    name = f"slash-w{wrangler.wrangler.version.replace('.', '-')}"
    wrangler.run("workflows", "trigger", "order", '{"type": "a/b c"}', "--id", name)
    described_until(wrangler.server, "order", name, *WAITING, steps=3)
    wrangler.run("workflows", "instances", "send-event", "order", name, "--type", "a/b c", "--payload", "[1]")
    assert described_until(wrangler.server, "order", name, "complete")["output"] == {"courier": [1]}


def test_every_instance_is_terminated_at_once(wrangler: WranglerClient, instance: str) -> None:
    printed = wrangler.run("workflows", "instances", "terminate-all", "order")
    assert "has been started" in printed
    described_until(wrangler.server, "order", instance, "terminated")


@NEWER_ONLY
def test_row_36_an_instance_is_restarted_from_a_step(wrangler: WranglerClient, instance: str) -> None:
    before = described_until(wrangler.server, "order", instance, *WAITING)["steps"][0]
    wrangler.run(
        "workflows", "instances", "restart", "order", instance, "--from-step-name", "rest", "--from-step-type", "sleep"
    )
    after = described_until(wrangler.server, "order", instance, *WAITING, steps=3)["steps"]
    assert after[0] == before
    assert "[code: 10406]" in refused(
        wrangler, "instances", "restart", "order", instance, "--from-step-name", "nothing"
    )


@NEWER_ONLY
def test_row_42_a_terminated_instance_is_undone_first_where_asked(wrangler: WranglerClient, instance: str) -> None:
    wrangler.run("workflows", "instances", "terminate", "order", instance, "--rollback")
    assert described_until(wrangler.server, "order", instance, "terminated")["steps"][0]["rollback"]["success"] is True


@NEWER_ONLY
def test_row_49_instances_are_deleted_and_a_missing_one_is_told(wrangler: WranglerClient, instance: str) -> None:
    wrangler.run("workflows", "instances", "delete", "order", instance)
    assert "instance.not_found" in refused(wrangler, "instances", "delete", "order", instance)


@NEWER_ONLY
def test_instances_are_listed_by_the_time_they_were_made(wrangler: WranglerClient, instance: str) -> None:
    listing = ("workflows", "instances", "list", "order")
    assert instance in wrangler.run(*listing, "--date-start", "2020-01-01")
    assert instance not in wrangler.run(*listing, "--date-end", "2020-01-01")


def test_a_token_of_one_site_sees_no_workflow(wrangler: WranglerClient, instance: str) -> None:
    site = f"only-{wrangler.wrangler.version.replace('.', '-')}"
    wrangler.create(site)
    token = wrangler.server.cli("token", "create", "ci", "--project", site, "--access", "admin").stdout.strip()
    for arguments in (("list",), ("instances", "describe", "order", instance), ("trigger", "order")):
        done = wrangler.try_to("workflows", *arguments, token=token)
        assert done.returncode == 1
        assert instance not in said(done).replace(f"instances/{instance}", "")
        assert "10000" in said(done)


def test_a_workflow_is_deleted_with_its_instances(wrangler: WranglerClient, tmp_path: Path) -> None:
    name = f"gone-{wrangler.wrangler.version.replace('.', '-')}"
    path = f"{workflows_path(wrangler.server)}/{name}"
    assert wrangler.server.api("PUT", path, {"script_name": "s", "class_name": "C"})["success"]
    wrangler.run("workflows", "trigger", name)
    wrangler.run("workflows", "delete", name)
    assert name not in wrangler.run("workflows", "list")
    assert "10200" in refused(wrangler, "describe", name)
