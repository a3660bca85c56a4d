"""Any sequence of deploys, rollbacks, promotions, deletions and collections, against a model made of dicts.

After each step every host that the model knows shows exactly what the model says, with every byte in the blob store,
and no other host exists.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from control_plane.tokens import Access
from tests.control_plane.client import Answer, Api, FakeTime, Files, hashes_of, host_of, open_plane

BRANCHES = ["main", "dev", "feat/x", "feat.x", "cafebabe", "x" * 40]
CONTENTS: list[Files] = [
    {"/index.html": b"1", "/a.js": b"a1"},
    {"/index.html": b"2", "/a.js": b"a2", "/b.css": b"b"},
    {"/index.html": b"3"},
    {},
]
DOMAINS = ["www.example.org", "a.example.org"]
PRODUCTION = "example.pages.test"
DAY_S = 24 * 60 * 60


@dataclass
class Made:
    """A deployment as the model knows it."""

    id: str
    host: str
    files: Files
    branch: str
    is_production: bool
    alias: str | None = None


@dataclass
class Model:
    """What every host shows, and what the production host shows."""

    made: dict[str, Made] = field(default_factory=dict)
    aliases: dict[str, Made] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    production: Made | None = None
    domains: set[str] = field(default_factory=set)

    def hosts(self) -> dict[str, Files]:
        shown = {each.host: each.files for each in self.made.values()}
        shown |= {host: each.files for host, each in self.aliases.items()}
        if self.production is not None:
            shown |= dict.fromkeys((PRODUCTION, *self.domains), self.production.files)
        return shown


class History(RuleBasedStateMachine):
    deployments = Bundle("deployments")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.loop = asyncio.new_event_loop()
        self.time = FakeTime()
        self.model = Model()
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        plane = self.stack.enter_context(open_plane(folder, self.time))
        with plane.store.write() as transaction:
            token = plane.tokens.issue(transaction, name="x", access=Access.ADMIN, site_no=None).text
        self.api = Api(plane, token, self.time)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def call(self, method: str, path: str, body: object = None) -> Answer:
        answer: Answer = self.do(self.api.call(method, path, body))
        return answer

    @initialize()
    def create(self) -> None:
        self.do(self.api.create())

    @rule(target=deployments, branch=st.sampled_from(BRANCHES), files=st.sampled_from(CONTENTS))
    def deploy(self, branch: str, files: Files) -> Made:
        told = self.call("GET", f"/onehop/v1/sites/example/alias?branch={branch}").result
        answer = self.do(self.api.deploy(files, branch=branch))
        made = Made(answer["id"], host_of(answer["url"]), files, branch, is_production=branch == "main")
        if made.is_production:
            self.model.production = made
        else:
            made.alias = told["hostname"]
            assert self.model.owners.setdefault(told["hostname"], branch) == branch, "an alias has one branch"
            self.model.aliases[told["hostname"]] = made
        self.model.made[made.id] = made
        return made

    @rule(made=deployments)
    def roll_back(self, made: Made) -> None:
        answer = self.call("POST", f"/example/deployments/{made.id}/rollback")
        if made.id not in self.model.made:
            assert answer.status == 404
        elif not made.is_production:
            assert answer.status == 409
        else:
            self.model.production = made

    @rule(made=deployments)
    def promote(self, made: Made) -> None:
        answer = self.call("POST", f"/onehop/v1/sites/example/deployments/{made.id}/promote")
        if made.id not in self.model.made:
            assert answer.status == 404
        else:
            made.is_production = True
            self.model.production = made

    @rule(made=deployments, force=st.booleans())
    def delete_deployment(self, made: Made, force: bool) -> None:
        answer = self.call("DELETE", f"/example/deployments/{made.id}{'?force=true' if force else ''}")
        if made.id not in self.model.made:
            assert answer.status == 404
            return
        is_aliased = made.alias is not None and self.model.aliases.get(made.alias) is made
        if self.model.production is made or (is_aliased and not force):
            assert answer.status == 409
            return
        del self.model.made[made.id]
        if is_aliased and made.alias is not None:
            del self.model.aliases[made.alias]
            del self.model.owners[made.alias]

    @rule(name=st.sampled_from(DOMAINS))
    def toggle_domain(self, name: str) -> None:
        if name in self.model.domains:
            assert self.call("DELETE", f"/example/domains/{name}").status == 200
            self.model.domains.remove(name)
        else:
            assert self.call("POST", "/example/domains", {"name": name}).status == 200
            self.model.domains.add(name)

    @rule(days=st.integers(1, 10))
    def collect(self, days: int) -> None:
        self.time.now_s += days * DAY_S
        assert self.call("POST", "/onehop/v1/gc").status == 200

    @rule()
    def purge(self) -> None:
        assert self.call("POST", "/onehop/v1/sites/example/purge").status == 200

    @precondition(lambda self: len(self.model.made) > 3)
    @rule(_=consumes(deployments))
    def delete_site_and_begin_again(self, _: Made) -> None:
        assert self.call("DELETE", "/example").status == 200
        self.model = Model()
        self.do(self.api.create())

    @invariant()
    def every_host_shows_what_the_model_says_and_no_other_exists(self) -> None:
        hosts = self.model.hosts()
        assert self.api.hosts() == len(hosts)
        for host, files in hosts.items():
            assert self.api.paths(host) == hashes_of(files)
            for key in (*hashes_of(files).values(), *self.api.kept_keys(host)):
                assert self.api.plane.blobs.verify(key) is None
            assert not {path for path in self.api.kept(host) if path in files or path.endswith(".html")}

    def teardown(self) -> None:
        self.loop.run_until_complete(self.api.client.aclose())
        self.loop.close()
        self.stack.close()


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
