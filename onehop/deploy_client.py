"""Our own deploy client: a folder to a live deployment, over the API that wrangler speaks. Needs no Node.js.

    read_folder → keys → check-missing → upload, in parallel → upsert-hashes → post the form → the deployment

Bytes travel once: what the server has, of any site, isn't sent again. The upload token is fetched first, and the post
carries its order, so that the server knows when this deploy began and an older one can't replace a newer.
"""

from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from asset_server.asset_keys import asset_key
from asset_server.content_type import content_type_of, extension_of
from onehop.api_client import CODE_UPLOAD_TOKEN_REFUSED, PAGES_API, ApiClient, ApiRefused
from onehop.deploy_folder import FILES_COUNT_MAX, DeployFolder, FolderFile, FolderRefused, read_folder
from onehop.errors import CommandFailed
from onehop.git_checkout import GitCheckout
from onehop.output import Watcher
from onehop.upload_plan import PARALLEL_UPLOADS, plan_buckets

TRIES: Final = 6
HASHING_THREADS: Final = 4
CODE_UNKNOWN_PROJECT: Final = 8000007
CODE_MANIFEST_REFUSED: Final = 8000097
USUAL_PRODUCTION_BRANCHES: Final = ("main", "master", "trunk")
LOG_LINES_MAX: Final = 10_000


class DeployFailed(CommandFailed):
    """The server took the deploy and says that it didn't come to life."""


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What to deploy as. `branch` None: production. `is_forced`: also when a newer deploy is live already."""

    site: str
    branch: str | None = None
    commit_hash: str = ""
    commit_message: str = ""
    is_dirty: bool = False
    is_forced: bool = False
    creates_site: bool = True
    follows_links: bool = False

    def filled_in(self, checkout: GitCheckout | None) -> "DeployOptions":
        """What wasn't given, as git has it."""
        if checkout is None:
            return self
        return DeployOptions(
            site=self.site,
            branch=self.branch or checkout.branch,
            commit_hash=self.commit_hash or checkout.commit_hash,
            commit_message=self.commit_message or ("" if self.commit_hash else checkout.commit_message),
            is_dirty=self.is_dirty or checkout.is_dirty,
            is_forced=self.is_forced,
            creates_site=self.creates_site,
            follows_links=self.follows_links,
        )


@dataclass(frozen=True, slots=True)
class Deployed:
    """How it went. `id` and the rest of the first line are the API's; `created_site` names a site made on the way."""

    id: str
    short_id: str
    url: str
    aliases: tuple[str, ...]
    environment: str
    site: str
    branch: str
    production_url: str
    is_superseded: bool
    files_count: int
    uploaded_count: int
    uploaded_bytes: int
    created_site: bool
    warnings: tuple[str, ...]

    def document(self) -> Mapping[str, object]:
        """What `deploy --json` prints."""
        return {
            "id": self.id,
            "short_id": self.short_id,
            "url": self.url,
            "aliases": self.aliases,
            "environment": self.environment,
            "project": self.site,
            "branch": self.branch,
            "production_url": self.production_url,
            "superseded": self.is_superseded,
            "files": self.files_count,
            "uploaded": self.uploaded_count,
            "uploaded_bytes": self.uploaded_bytes,
            "created_project": self.created_site,
            "warnings": self.warnings,
        }


@dataclass(frozen=True, slots=True)
class Keyed:
    """A file and the key of its content."""

    file: FolderFile
    key: str

    @property
    def size_bytes(self) -> int:
        return self.file.size_bytes


class UploadPass:
    """The upload token of one deploy, fetched again when the server no longer takes it."""

    def __init__(self, api: ApiClient, site: str) -> None:
        self._api = api
        self._site = site
        self._token = self._fetch()
        claims = read_claims(self._token)
        self.order = str(claims.get("order", ""))
        count = claims.get("max_file_count_allowed")
        self.files_count_max = count if isinstance(count, int) else FILES_COUNT_MAX

    def _fetch(self) -> str:
        token: str = self._api.project("GET", self._site, "/upload-token", tries=TRIES)["jwt"]
        return token

    def post(self, what: str, body: object) -> Any:
        path = f"{PAGES_API}/pages/assets/{what}"
        try:
            return self._api.call("POST", path, body=body, token=self._token, tries=TRIES)
        except ApiRefused as error:
            if error.code != CODE_UPLOAD_TOKEN_REFUSED:
                raise
        self._token = self._fetch()
        return self._api.call("POST", path, body=body, token=self._token, tries=TRIES)


def read_claims(token: str) -> Mapping[str, object]:
    """The payload of a JWT, unchecked: it comes from the server that will check it."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def deploy_folder(
    api: ApiClient, root: Path, options: DeployOptions, *, watcher: Watcher, project: Path | None = None
) -> Deployed:
    """`project`: see `read_folder`. Raises FolderRefused before anything is sent; ApiRefused, ApiUnreachable,
    DeployFailed."""
    folder = read_folder(root, project=project, follow_links=options.follows_links)
    if not folder.files and "_worker.js" not in folder.controls and not options.is_forced:
        raise FolderRefused(f"{root} has no files to deploy: every page would be gone; --force deploys it all the same")
    created_site = ensure_site(api, options)
    upload_pass = UploadPass(api, options.site)
    if len(folder.files) > upload_pass.files_count_max:
        folder = read_folder(
            root,
            project=project,
            follow_links=options.follows_links,
            files_count_max=upload_pass.files_count_max,
        )
    keyed = compute_keys(folder.files, watcher)
    sent: list[Keyed] = []
    try:
        sent += send_missing(upload_pass, keyed, watcher)
        deployment = post_form(api, folder, keyed, options, upload_pass.order)
    except ApiRefused as error:
        if error.code != CODE_MANIFEST_REFUSED:
            raise
        # An asset that was stored when we asked has been collected since, or is stored for another extension: the
        # server now asks for it. A second refusal is for good.
        sent += send_missing(upload_pass, keyed, watcher)
        deployment = post_form(api, folder, keyed, options, upload_pass.order)
    return describe(api, deployment, folder, options, sent=sent, created_site=created_site)


def ensure_site(api: ApiClient, options: DeployOptions) -> bool:
    """Whether the site had to be made. Raises ApiRefused when there is none and none is to be made."""
    try:
        api.project("GET", options.site, tries=TRIES)
    except ApiRefused as error:
        if error.code != CODE_UNKNOWN_PROJECT:
            raise
        if not options.creates_site:
            raise ApiRefused(
                f"there is no site {options.site}; create it with 'onehop site create {options.site}'",
                status=error.status,
                code=error.code,
            ) from None
    else:
        return False
    is_usual = options.branch in USUAL_PRODUCTION_BRANCHES
    body = {"name": options.site, "production_branch": options.branch if is_usual else USUAL_PRODUCTION_BRANCHES[0]}
    api.create_project(body)
    return True


def compute_keys(files: Sequence[FolderFile], watcher: Watcher) -> list[Keyed]:
    watcher.begin("reading files", len(files))

    def compute(file: FolderFile) -> Keyed:
        keyed = Keyed(file, asset_key(read_unchanged(file), extension_of(file.path)))
        watcher.advance()
        return keyed

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        return list(pool.map(compute, files))


def read_unchanged(file: FolderFile) -> bytes:
    """Raises FolderRefused when the file isn't the one that the walk saw."""
    try:
        content = file.file.read_bytes()
        mtime_ns = file.file.stat().st_mtime_ns
    except OSError as error:
        raise FolderRefused(f"{file.file} can't be read: {error.strerror}; nothing was deployed") from None
    if len(content) != file.size_bytes or mtime_ns != file.mtime_ns:
        raise FolderRefused(f"{file.file} changed while it was deployed; wait for the build to end, then deploy again")
    return content


def send_missing(upload_pass: UploadPass, keyed: Sequence[Keyed], watcher: Watcher) -> list[Keyed]:
    """What had to be sent; one file of each key."""
    watcher.begin("asking what is missing")
    missing = set(upload_pass.post("check-missing", {"hashes": sorted({each.key for each in keyed})}))
    wanted = [each for each in {each.key: each for each in keyed}.values() if each.key in missing]
    if wanted:
        watcher.begin("uploading files", len(wanted))

        def send(bucket: Sequence[Keyed]) -> None:
            upload_pass.post("upload", render_bucket(bucket))
            watcher.advance(len(bucket))

        with ThreadPoolExecutor(PARALLEL_UPLOADS) as pool:
            for _ in pool.map(send, plan_buckets(wanted)):
                pass  # the first that failed raises here
    upload_pass.post("upsert-hashes", {"hashes": [each.key for each in keyed]})
    return wanted


def render_bucket(bucket: Iterable[Keyed]) -> bytes:
    return orjson.dumps(
        [
            {
                "key": each.key,
                "value": b64encode(read_unchanged(each.file)).decode("ascii"),
                "metadata": {"contentType": content_type_of(each.file.path).partition(";")[0]},
                "base64": True,
            }
            for each in bucket
        ]
    )


def post_form(api: ApiClient, folder: DeployFolder, keyed: Sequence[Keyed], options: DeployOptions, order: str) -> Any:
    manifest = orjson.dumps({each.file.path: each.key for each in keyed})
    parts: dict[str, Any] = {"manifest": (None, manifest)}
    texts = {
        "branch": options.branch or "",
        "commit_hash": options.commit_hash,
        "commit_message": options.commit_message,
        "commit_dirty": "true" if options.is_dirty else "false",
        "onehop_order": order,
        "onehop_force": "true" if options.is_forced else "",
    }
    parts.update({name: (None, text.encode("utf-8", "replace")) for name, text in texts.items() if text})
    for name, file in folder.controls.items():
        if name != "_routes.json" or "_worker.js" in folder.controls:
            parts[name] = (name, file.read_bytes(), "application/octet-stream")
    return api.project("POST", options.site, "/deployments", form=parts, tries=TRIES)


def describe(
    api: ApiClient,
    deployment: Any,
    folder: DeployFolder,
    options: DeployOptions,
    *,
    sent: Sequence[Keyed],
    created_site: bool,
) -> Deployed:
    log = read_log(api, options.site, deployment["id"])
    stage = deployment["latest_stage"]
    if (stage["name"], stage["status"]) != ("deploy", "success"):
        last = log[-1] if log else "it has no log"
        raise DeployFailed(f"deployment {deployment['short_id']} ended in {stage['name']}/{stage['status']}: {last}")
    settings = api.own_site("GET", options.site, tries=TRIES)
    return Deployed(
        id=deployment["id"],
        short_id=deployment["short_id"],
        url=deployment["url"],
        aliases=tuple(deployment["aliases"] or ()),
        environment=deployment["environment"],
        site=options.site,
        branch=deployment["deployment_trigger"]["metadata"]["branch"],
        production_url=settings["url"],
        is_superseded=bool(deployment.get("superseded")),
        files_count=len(folder.files),
        uploaded_count=len(sent),
        uploaded_bytes=sum(each.size_bytes for each in sent),
        created_site=created_site,
        warnings=(*folder.warnings, *(line for line in log if line.startswith("_"))),
    )


def read_log(api: ApiClient, site: str, deployment_id: str) -> list[str]:
    log = api.project(
        "GET", site, f"/deployments/{deployment_id}/history/logs", query={"size": str(LOG_LINES_MAX)}, tries=TRIES
    )
    return [entry["line"] for entry in log["data"]]
