"""`onehop demo`, which is `make run`: a server with two sites deployed, and the way to a first own deploy.

The sites are deployed as anyone's would be: over the API, by our own client, to a server in a process of its own. What
is deployed already, by its content, isn't deployed again.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from blake3 import blake3

from asset_server.blobs import BlobStore
from control_plane.clock import Clock
from onehop.api_client import ACCOUNT, PAGES_API, ApiAccess, ApiClient, ApiRefused
from onehop.config import DATA_DEFAULT, Config
from onehop.data_folder import DataFolder
from onehop.deploy_client import CODE_UNKNOWN_PROJECT, DeployOptions, deploy_folder
from onehop.deploy_folder import read_folder
from onehop.opened_store import opened
from onehop.output import Watcher
from onehop.processes import die_with_parent
from onehop.seed import SeedPlan, name_of, seed
from router.kv.schema import Database

SITES_FOLDER: Final = Path(__file__).parent / "demo_sites"
PRODUCTION_BRANCH: Final = "main"
DIGEST_CHARACTERS: Final = 16
STOP_TIMEOUT_S: Final = 30.0
LEGACY_SITE_PREFIX: Final = b"seed-"
LEGACY_DEPLOYMENTS: Final = 40


@dataclass(frozen=True, slots=True)
class DemoSite:
    """`folders` are laid over each other, the later ones on top."""

    site: str
    branch: str
    folders: tuple[str, ...]


DEMO_SITES: Final = (
    DemoSite("welcome", PRODUCTION_BRANCH, ("look", "welcome")),
    DemoSite("tour", PRODUCTION_BRANCH, ("look", "tour")),
    DemoSite("tour", "preview", ("look", "tour", "tour-preview")),
)

FUNCTIONS_SITE: Final = DemoSite("functions", PRODUCTION_BRANCH, ("look", "functions"))
"""Deployed where there is a workerd to run it."""
NAMESPACES: Final = f"{PAGES_API}/accounts/{ACCOUNT}/storage/kv/namespaces"
NAMESPACE_TITLE: Final = "demo-counts"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that was started for the demo. `api_url` has no trailing slash."""

    process: "subprocess.Popen[str]"
    data: Path
    api_url: str

    @property
    def token_file(self) -> Path:
        return self.data / "secrets" / "admin-token"


@contextmanager
def serving(options: Sequence[str]) -> Iterator[RunningServer | None]:
    """`onehop serve` until the block ends; None when it didn't start (it has said why on stderr)."""
    process = subprocess.Popen(  # noqa: S603  # ourselves
        [sys.executable, "-m", "onehop", "serve", "--json", *options],
        stdout=subprocess.PIPE, text=True, preexec_fn=partial(die_with_parent, os.getpid()),
    )  # fmt: skip
    assert process.stdout is not None, "asked for as a pipe"
    with process, forwarding_stop(process):
        line = process.stdout.readline()
        try:
            told = json.loads(line) if line else None
            yield (
                None
                if told is None
                else RunningServer(process, Path(told["data"]), f"http://127.0.0.1:{told['api_port']}")
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def forwarding_stop(process: "subprocess.Popen[str]") -> Iterator[None]:
    """SIGTERM to us ends the server; a Ctrl-C reaches it from the terminal by itself."""

    def forward(_number: int, _frame: FrameType | None) -> None:
        process.send_signal(signal.SIGTERM)

    before: Callable[[int, FrameType | None], object] | int | None = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def deploy_demo_sites(server: RunningServer, *, with_functions: bool, watcher: Watcher) -> list[tuple[DemoSite, str]]:
    """Each site with its URL. Deploys those whose content isn't what is live."""
    token = server.token_file.read_text("ascii").strip()
    with ApiClient(ApiAccess(server.api_url, token)) as api:
        sites = list(DEMO_SITES)
        if with_functions:
            prepare_namespace(api)
            sites.append(FUNCTIONS_SITE)
        return [(demo, deploy_if_changed(api, demo, watcher=watcher)) for demo in sites]


def prepare_namespace(api: ApiClient) -> None:
    """The functions site with a KV namespace to count in; made once."""
    site = FUNCTIONS_SITE.site
    if not any(each["name"] == site for each in api.projects()):
        api.create_project({"name": site, "production_branch": PRODUCTION_BRANCH})
    titles = {each["title"]: each["id"] for each in api.call("GET", NAMESPACES, query={"per_page": "1000"})}
    namespace = titles.get(NAMESPACE_TITLE)
    if namespace is None:
        namespace = api.call("POST", NAMESPACES, body={"title": NAMESPACE_TITLE})["id"]
    bound = {"kv_namespaces": {"COUNTS": {"namespace_id": namespace}}}
    api.project("PATCH", site, body={"deployment_configs": {"production": bound}})


def seed_legacy_site(server: RunningServer, *, watcher: Watcher) -> str:
    """A site that only its routing table knows, as the old design left them; its host. Made once."""
    folder = DataFolder(server.data)
    with opened(folder) as it:
        with it.store.read() as snapshot:
            found = next(snapshot.scan(Database.SITE_NAMES, prefix=LEGACY_SITE_PREFIX), None)
        if found is not None:
            return it.names.production(found[0].decode("ascii")).name
        plan = SeedPlan(sites_count=1, deployments_count=LEGACY_DEPLOYMENTS, is_legacy_only=True)
        numbers = seed(it, BlobStore(folder.root), plan, clock=Clock(), watcher=watcher)
        return it.names.production(name_of(numbers[0])).name


def deploy_if_changed(api: ApiClient, demo: DemoSite, *, watcher: Watcher) -> str:
    with laid_over_each_other(demo.folders) as folder:
        digest = digest_of(folder)
        if digest != live_digest(api, demo):
            options = DeployOptions(
                site=demo.site, branch=demo.branch, commit_hash=digest, commit_message="a demo site of Onehop's"
            )
            deploy_folder(api, folder, options, watcher=watcher)
    alias = api.own_site("GET", demo.site, "/alias", query={"branch": demo.branch})
    url: str = alias["url"]
    return url


def live_digest(api: ApiClient, demo: DemoSite) -> str | None:
    """The content that was deployed last to this branch, by the digest that stands in for its commit."""
    try:
        deployments = api.deployments(demo.site)
        found = next((each["deployment_trigger"]["metadata"] for each in deployments if is_of(each, demo.branch)), None)
    except ApiRefused as error:
        if error.code != CODE_UNKNOWN_PROJECT:
            raise
        return None
    return str(found["commit_hash"]) if found is not None else None


def is_of(deployment: Mapping[str, Mapping[str, Mapping[str, object]]], branch: str) -> bool:
    return deployment["deployment_trigger"]["metadata"]["branch"] == branch


@contextmanager
def laid_over_each_other(names: Sequence[str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onehop-demo-") as folder:
        for name in names:
            shutil.copytree(SITES_FOLDER / name, folder, dirs_exist_ok=True)
        yield Path(folder)


def digest_of(root: Path) -> str:
    folder = read_folder(root)
    hasher = blake3()
    named = {**folder.controls, **{each.path: each.file for each in folder.files}}
    for name, file in sorted(named.items()):
        content = file.read_bytes()
        hasher.update(f"{name}\n{len(content)}\n".encode() + content)
    return hasher.hexdigest()[:DIGEST_CHARACTERS]


def first_deploy_lines(server: RunningServer) -> list[str]:
    """What to type, in another terminal, for a first deploy of one's own: by our client, or by wrangler."""
    own = [f"{quoted(command_path())} deploy ./public --project my-site"]
    if server.data != (Path.cwd() / DATA_DEFAULT).resolve():
        own.insert(0, f"ONEHOP_DATA={quoted(server.data)}")
    if server.api_url != f"http://127.0.0.1:{Config().api_port}":
        own.insert(0, f"ONEHOP_API_URL={server.api_url}")
    return [
        " ".join(own),
        "",
        f"export CLOUDFLARE_API_BASE_URL={server.api_url}{PAGES_API} CLOUDFLARE_ACCOUNT_ID={ACCOUNT}",
        f'export CLOUDFLARE_API_TOKEN="$(cat {quoted(server.token_file)})"',
        "npx wrangler pages project create my-site --production-branch main",
        "npx wrangler pages deploy ./public --project-name my-site --branch main",
    ]


def migration_lines(server: RunningServer) -> list[str]:
    """What to type to move the old site's deployments; docs/migration.md goes on from there."""
    onehop, data = quoted(command_path()), quoted(server.data)
    return [f"{onehop} migrate {command} --data {data}" for command in ("plan", "run", "verify")]


def command_path() -> Path:
    """The `onehop` that belongs to this interpreter, as short as it can be told from here."""
    path = Path(sys.executable).with_name("onehop")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def quoted(path: Path) -> str:
    text = str(path)
    return text if all(character.isalnum() or character in "/._-" for character in text) else "'" + text + "'"
