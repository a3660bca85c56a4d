"""People deploy, roll back, delete and move domains while a migration goes on, piece by piece; a dict is the model.

Whatever the order, at the end every host that lives shows by the hashed scheme what the model says, every host that was
deleted is gone, and both schemes agree.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from control_plane.activation import Activation
from control_plane.catalogue import StoreInconsistent, find_site, put_domain, read_deployment
from control_plane.clock import Clock
from control_plane.dual_write import TableEdits
from migration.move import Chunk
from migration.pacing import Pacer
from migration.progress import State
from router.hashed import read_route
from router.hostname import Hostname
from router.kv.store import Transaction
from router.legacy_table import parse_table
from router.policy import Percentage, Policy, Scheme
from router.policy_record import change_policy
from router.records import CustomDomain, Deployment, Site
from tests.migration.legacy_store import LegacyStore, legacy_store

SITES = ("seed-1", "seed-2", "seed-3")
DOMAINS = ("one.example.com", "two.example.com")


class Migrating(RuleBasedStateMachine):
    """`shown` is the model: of every host that lives, the manifest and whether it is a preview."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._context = legacy_store(Path(self._folder.name), sites=3, deployments=9)
        self.legacy: LegacyStore = self._context.__enter__()
        self.shown: dict[str, bool] = {}
        self.gone: set[str] = set()
        self.chunks: list[Chunk] = []
        self.parts: list[int] = []
        self.pacer: Pacer | None = None

    @initialize()
    def read_the_tables(self) -> None:
        for site_no in (1, 2, 3):
            for each in parse_table(self.legacy.table(site_no)):
                self.shown[each.host] = each.host.count(".") == 3
        self.pacer = self.legacy.pacer()

    # -- what people do --------------------------------------------------------------------------------------------

    def act(self, transaction: Transaction) -> Activation:
        it = self.legacy.it
        return Activation(
            transaction=transaction, keys=it.keys, names=it.names, clock=Clock(),
            tables=TableEdits(transaction, it.keys, it.names),
        )  # fmt: skip

    def site(self, transaction: Transaction, name: str) -> Site:
        site = find_site(transaction, name)
        assert site is not None
        return site

    @rule(name=st.sampled_from(SITES), number=st.integers(0, 2**32 - 1), branch=st.sampled_from(["main", "topic"]))
    def deploy(self, name: str, number: int, branch: str) -> None:
        short = f"{number:08x}"
        if f"{short}.{name}.pages.localhost" in self.shown | dict.fromkeys(self.gone, True):
            return
        with self.legacy.it.store.write() as transaction:
            site = self.site(transaction, name)
            first = read_deployment(transaction, site.site_no, 3)
            seq, order = site.seq_last + 1, site.order_last + 1
            deployment = Deployment(
                site_no=site.site_no, seq=seq, id=short + "0" * 24, created_on="2026-01-01T00:00:00Z",
                manifest=first.manifest, branch=branch, order=order,
                environment="production" if branch == "main" else "preview",
            )  # fmt: skip
            self.act(transaction).publish(replace(site, seq_last=seq, order_last=order), deployment)
        self.shown[f"{short}.{name}.pages.localhost"] = True
        if branch == "topic":
            self.shown[f"topic.{name}.pages.localhost"] = True

    def living(self, transaction: Transaction, site: Site, seq: int) -> Deployment | None:
        try:
            return read_deployment(transaction, site.site_no, seq)
        except StoreInconsistent:
            return None

    @rule(name=st.sampled_from(SITES), seq=st.integers(1, 3))
    def roll_back(self, name: str, seq: int) -> None:
        with self.legacy.it.store.write() as transaction:
            site = self.site(transaction, name)
            deployment = self.living(transaction, site, seq)
            if deployment is None:
                return
            site = replace(site, order_last=site.order_last + 1)
            self.act(transaction).show_in_production(site, deployment, order=site.order_last)

    @rule(name=st.sampled_from(SITES), seq=st.integers(1, 2))
    def delete(self, name: str, seq: int) -> None:
        with self.legacy.it.store.write() as transaction:
            site = self.site(transaction, name)
            deployment = self.living(transaction, site, seq)
            if deployment is None or (site.production is not None and site.production.seq == seq):
                return
            self.act(transaction).delete_deployment(site, deployment, force=True)
        self.forget(f"{deployment.short_id}.{name}.pages.localhost")

    @rule(name=st.sampled_from(SITES), domain=st.sampled_from(DOMAINS))
    def add_domain(self, name: str, domain: str) -> None:
        if domain in self.shown:
            return
        with self.legacy.it.store.write() as transaction:
            site = self.site(transaction, name)
            record = CustomDomain(name=domain, site_no=site.site_no, id="d", created_on="2026-01-01T00:00:00Z")
            put_domain(transaction, record)
            self.act(transaction).add_domain(site, record)
        self.shown[domain] = False
        self.gone.discard(domain)

    @rule(name=st.sampled_from(SITES), domain=st.sampled_from(DOMAINS))
    def remove_domain(self, name: str, domain: str) -> None:
        with self.legacy.it.store.write() as transaction:
            site = self.site(transaction, name)
            if domain not in site.domains:
                return
            self.act(transaction).remove_domain(site, domain)
        self.forget(domain)

    @rule(percent=st.sampled_from([0.0, 50.0, 100.0]), scheme=st.sampled_from(list(Scheme)))
    def flip_policy(self, percent: float, scheme: Scheme) -> None:
        with self.legacy.it.store.write() as transaction:
            change_policy(
                transaction, lambda _: Policy(default=scheme, percentage=Percentage(percent)), who="w", when="now",
                why="y", what="w",
            )  # fmt: skip

    def forget(self, host: str) -> None:
        self.shown.pop(host, None)
        self.gone.add(host)

    # -- the migration, a piece at a time --------------------------------------------------------------------------

    @rule()
    def next_piece(self) -> None:
        mover = self.legacy.mover
        assert self.pacer is not None
        progress = self.legacy.progress()
        if progress is None or progress.state.is_end:
            mover.begin("job" if progress is None else progress.job + "x", None)
            self.chunks = mover.plan()
        elif self.chunks:
            mover.collect(self.chunks.pop())
        elif progress.state is State.COLLECTING:
            self.parts = list(range(mover.begin_writing()))
        elif self.parts:
            mover.write(self.parts.pop(0), self.pacer)
        else:
            in_batches = replace(mover, large_table_bytes=0)
            for site_no in mover.changed_sites():
                (in_batches if site_no % 2 else mover).revisit(site_no, self.pacer)
            ended = mover.end(State.COMPLETE)
            assert ended.done == ended.total
            assert ended.failed == 0

    @precondition(lambda self: self.pacer is not None)
    @invariant()
    def what_is_gone_stays_gone(self) -> None:
        with self.legacy.it.store.read() as snapshot:
            for host in self.gone:
                assert read_route(snapshot, self.legacy.it.keys, Hostname(host)) is None, host

    def teardown(self) -> None:
        try:
            if self.pacer is not None:
                self.next_piece()
                while (progress := self.legacy.progress()) is not None and not progress.state.is_end:
                    self.next_piece()
                self.everything_is_as_the_model_says()
        finally:
            self._context.__exit__(None, None, None)
            self._folder.cleanup()

    def everything_is_as_the_model_says(self) -> None:
        with self.legacy.it.store.read() as snapshot:
            for host, is_preview in self.shown.items():
                route = read_route(snapshot, self.legacy.it.keys, Hostname(host))
                assert route is not None, host
                assert route.is_preview == is_preview, host
        self.what_is_gone_stays_gone()
        for site_no in (1, 2, 3):
            verified = self.legacy.verify(site_no)
            assert verified.is_sound, verified.differences


TestMigrating = Migrating.TestCase
TestMigrating.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
