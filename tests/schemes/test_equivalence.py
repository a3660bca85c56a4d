"""Whatever people do to their sites, every host ever seen answers the same under each arm, to the byte.

ONEHOP_EQUIVALENCE_STEPS sets how many steps are taken in all; 10,000 is a full run.
"""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from control_plane.catalogue import put_site
from control_plane.clock import Clock
from control_plane.dual_write import rebuild_table
from control_plane.errors import DeploymentInUse
from onehop.data_folder import DataFolder
from onehop.legacy_import import import_table, read_files
from onehop.opened_store import OpenedStore
from router.kv.schema import SITE_NO, Database
from router.metrics.catalogue import DAMAGED_ANSWERS, SHADOW_DIFFERENCES, TABLE_FAULTS
from router.policy import Percentage, Policy, Scheme, Split
from router.policy_record import PolicyRefused, change_policy, undo_last
from tests.control_plane.client import FakeTime, open_plane
from tests.control_plane.conftest import assert_schemes_agree
from tests.schemes.both_schemes import ARMS, VERSIONS_COUNT, BothSchemes, files_of, need_site

STEPS_A_HISTORY: Final = 50
STEPS_COUNT: Final = int(os.environ.get("ONEHOP_EQUIVALENCE_STEPS", "600"))
# The last two differ from hosts below the pages domain, and from each other, just where one of them has a dot.
DOMAINS: Final = ["www.example.test", "wwwxexample.test", "x.one-pages.test"]
SITES: Final = ["one", "two"]
BRANCHES: Final = ["main", "main", "x", "feat/y"]
TARGETS: Final = [
    "/", "/index.html", "/app.0.js", "/app.1.js?a=%2F&b", "/a%20b/%C3%A9.txt", "/A%20B/", "/missing?q",
    "/old/x%2Fy?z=1", "/here0", "//evil.test/", "/.%2e/./index.html", "/%", "/a?:9000/", "/?p1=/x",
]  # fmt: skip


class Histories(RuleBasedStateMachine):
    """Deploys and all that follows them, on two sites, under a policy that changes."""

    steps_taken = 0

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.plane = self.stack.enter_context(open_plane(folder, FakeTime()))
        self.it = OpenedStore(DataFolder(folder), self.plane.store, self.plane.keys(), self.plane.names)
        self.schemes = BothSchemes(self.plane)
        self.hosts: dict[str, None] = {}
        self.exported: dict[str, bytes] = {}
        self.folder, self.step = folder, 0
        for name in SITES:
            self.schemes.create(name)
            self.see(f"{name}.pages.test")
        for domain in DOMAINS:
            self.see(domain)

    def see(self, host: str) -> None:
        self.hosts[host] = None

    # -- deployments ---------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(SITES), version=st.integers(0, VERSIONS_COUNT - 1), branch=st.sampled_from(BRANCHES))
    def deploy(self, name: str, version: int, branch: str) -> None:
        self.schemes.create(name)
        self.see(self.schemes.deploy(name, version, branch))
        if branch != "main":
            self.see(f"{branch.replace('/', '-')}.{name}.pages.test")

    @rule(name=st.sampled_from(SITES), which=st.integers(0, 5))
    def roll_back(self, name: str, which: int) -> None:
        deployments = self.schemes.deployments(name)
        if deployments:
            self.schemes.show_in_production(name, deployments[which % len(deployments)])

    @rule(name=st.sampled_from(SITES), which=st.integers(0, 5))
    def delete(self, name: str, which: int) -> None:
        deployments = self.schemes.deployments(name)
        if deployments:
            try:
                self.schemes.delete_deployment(name, deployments[which % len(deployments)])
            except DeploymentInUse:
                return

    @rule(name=st.sampled_from(SITES), branch=st.sampled_from(BRANCHES))
    def delete_branch(self, name: str, branch: str) -> None:
        if self.schemes.site(name) is not None:
            try:
                self.schemes.delete_branch(name, branch)
            except DeploymentInUse:
                return

    @rule(name=st.sampled_from(SITES), sure=st.integers(0, 4))
    def delete_site(self, name: str, sure: int) -> None:
        if sure == 0 and self.schemes.site(name) is not None:
            self.schemes.delete_site(name)

    @rule(name=st.sampled_from(SITES))
    def purge(self, name: str) -> None:
        if self.schemes.site(name) is not None:
            self.schemes.purge(name)

    @rule(name=st.sampled_from(SITES), domain=st.sampled_from(DOMAINS))
    def change_domain(self, name: str, domain: str) -> None:
        owner = next((site for each in SITES if (site := self.schemes.site(each)) and domain in site.domains), None)
        if owner is not None:
            self.schemes.remove_domain(owner.name, domain)
        elif self.schemes.site(name) is not None:
            self.schemes.add_domain(name, domain)

    # -- schemes -------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(SITES), is_on=st.booleans())
    def dual_write(self, name: str, is_on: bool) -> None:
        if self.schemes.site(name) is not None:
            with self.plane.store.write() as transaction:
                site = replace(need_site(transaction, name), dual_write=is_on)
                put_site(transaction, site)
                if is_on:
                    rebuild_table(transaction, self.plane.keys(), self.plane.names, site)

    @rule(
        name=st.sampled_from(SITES), scheme=st.sampled_from(list(Scheme)), percent=st.sampled_from([0.0, 30.0, 100.0]),
        what=st.sampled_from(["pin", "split", "data centre", "percentage", "default", "shadow", "timing"]),
    )  # fmt: skip
    def flip(self, name: str, scheme: Scheme, percent: float, what: str) -> None:
        site = self.schemes.site(name)
        site_no = site.site_no if site is not None else 99

        def change(policy: Policy) -> Policy:
            match what:
                case "pin":
                    return replace(policy, pins={**policy.pins, site_no: scheme})
                case "split":
                    return replace(policy, pins={}, splits={site_no: Split(percent)})
                case "data centre":
                    return replace(policy, pins={}, splits={}, data_centres={"local": scheme})
                case "percentage":
                    return replace(policy, pins={}, splits={}, data_centres={}, percentage=Percentage(percent, scheme))
                case "shadow":
                    return replace(policy, shadow_percent=percent)
                case _:
                    return replace(policy, default=scheme, percentage=None)

        with self.plane.store.write() as transaction:
            change_policy(transaction, change, who="test", when="now", why="", what=what)

    @rule()
    def undo(self) -> None:
        try:
            with self.plane.store.write() as transaction:
                undo_last(transaction, who="test", when="now", why="")
        except PolicyRefused:
            return

    @rule(name=st.sampled_from(SITES))
    def export(self, name: str) -> None:
        site = self.schemes.site(name)
        with self.plane.store.read() as snapshot:
            table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site.site_no)) if site is not None else None
        if table is not None:
            self.exported[name] = table

    @rule(name=st.sampled_from(SITES))
    @precondition(lambda self: bool(self.exported))
    def bring_back(self, name: str) -> None:
        """An old table, of which some hosts are gone for good and others show something newer."""
        site = self.schemes.site(name)
        if name in self.exported and site is not None and site.dual_write:
            file = self.folder / "table.json"
            file.write_bytes(self.exported[name])
            tables, pipelines = read_files([file])
            if tables[0].filters:
                import_table(self.it, tables[0], pipelines, Clock())

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def every_host_answers_the_same_under_each_arm(self) -> None:
        if not hasattr(self, "schemes"):
            return
        self.step += 1
        Histories.steps_taken += 1
        target = TARGETS[self.step % len(TARGETS)]
        for number, host in enumerate(self.hosts):
            spelled = (host, host.upper(), f"{host}:8787", f"{host}.", f"{host}:")[(self.step + number) % 5]
            method = "HEAD" if (self.step + number) % 7 == 0 else "GET"
            answers = {arm: self.schemes.ask(arm, spelled, target, method=method) for arm in ARMS}
            served = answers["hashed"]
            for arm, answer in answers.items():
                assert answer.status == served.status, (arm, host, target)
                assert answer.headers == served.headers, (arm, host, target)
                assert bytes(answer.body) == bytes(served.body), (arm, host, target)

    @invariant()
    def tables_are_what_records_and_routes_make(self) -> None:
        if hasattr(self, "schemes") and all(site.dual_write for name in SITES if (site := self.schemes.site(name))):
            assert_schemes_agree(self.plane)

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            with self.stack:
                for arm in ARMS:
                    for metric in (DAMAGED_ANSWERS, TABLE_FAULTS, SHADOW_DIFFERENCES):
                        assert self.schemes.counted(arm, metric) == 0, arm


def test_73_every_host_answers_the_same_under_each_arm_after_each_step() -> None:
    """Histories may end early, so that one run takes fewer steps than it could."""
    chosen = settings(
        max_examples=max(1, STEPS_COUNT // STEPS_A_HISTORY), stateful_step_count=STEPS_A_HISTORY, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    Histories.steps_taken = 0
    while Histories.steps_taken < STEPS_COUNT:
        run_state_machine_as_test(Histories, settings=chosen)


def test_the_versions_differ_so_that_a_mix_up_shows() -> None:
    assert len({files_of(version)["/index.html"] for version in range(VERSIONS_COUNT)}) == VERSIONS_COUNT
