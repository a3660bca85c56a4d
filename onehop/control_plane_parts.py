"""The composition root of the control plane."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from asset_server.blobs import BlobStore
from control_plane.app import create_app
from control_plane.documents import PublicUrl
from control_plane.late_workflows import LateWorkflows
from control_plane.plane import ControlPlane, PlaneSecrets
from functions.bundle import BundleStore, StoredBundle
from functions.event_sink import EventSink
from functions.key_values import KeyValueStore
from functions.variable_seal import VariableSeal
from onehop.config import Config
from onehop.data_folder import DataFolder
from onehop.workerd_choice import chosen_workerd
from router.key_files import read_key_ring
from router.kv.store import open_store
from router.metrics.reading import read_metrics
from router.site_names import SiteNames

if TYPE_CHECKING:
    from workflows.rest.app import WorkflowsApi

HEALTH_TIMEOUT_S = 2.0
ABSENT_HOST = "healthz.invalid"
"""RFC 2606 2: no deployment can have it, so an edge that answers says 404."""


@dataclass(frozen=True, slots=True)
class ControlPlaneApp:
    """What the control plane serves; `before_drain` ends the answers that would never end by themselves."""

    app: Starlette
    before_drain: Callable[[], None]


@contextmanager
def opened_control_plane(config: Config, folder: DataFolder, *, edge_port: int) -> Iterator[ControlPlaneApp]:
    """With the folder's lock held. Raises DataFolderRefused, SecretUnusable."""
    with (
        folder.controlled(),
        open_store(folder.kv) as store,
        KeyValueStore.opened(folder.key_values) as key_values,
        EventSink.opened(folder.events) as events,
    ):
        secrets = PlaneSecrets.settle(store, folder.secrets)
        plane = ControlPlane(
            store=store,
            blobs=BlobStore(folder.root),
            bundles=BundleStore(folder.bundles),
            key_values=key_values,
            events=events,
            keys=lambda: read_key_ring(folder.route_keys),
            names=SiteNames(config.pages_domain),
            secrets=secrets,
            url=PublicUrl(config.url_scheme, public_port(config, edge_port)),
            edges_answer=lambda: edges_answer(config.host, edge_port),
            start_problem=LateTrial(config, VariableSeal(key=secrets.variables_key)),
            read_metrics=lambda: read_metrics(folder.metrics),
        )
        with plane:
            with store.write() as transaction:
                plane.tokens.ensure_admin(transaction, folder.admin_token)
            workflows = LateWorkflows(plane, lambda: make_workflows_api(folder), folder.workflow_store.exists)
            yield ControlPlaneApp(create_app(plane, workflows), workflows.end_streams)


class LateTrial:
    """Made with the first function that is deployed: a start needn't wait for what tries them."""

    def __init__(self, config: Config, seal: VariableSeal) -> None:
        self._config = config
        self._seal = seal
        self._lock = Lock()
        self._tried: Callable[[StoredBundle, int], str | None] | None = None

    def __call__(self, stored: StoredBundle, site_no: int) -> str | None:
        if chosen_workerd(self._config) is None:
            return None
        with self._lock:
            if self._tried is None:
                from onehop.function_trial import make_trial

                self._tried = make_trial(self._config, self._seal)
        return self._tried(stored, site_no)


def make_workflows_api(folder: DataFolder) -> "WorkflowsApi":
    from workflows.desk import Desk
    from workflows.rest.app import WorkflowsApi

    return WorkflowsApi(Desk(folder.workflow_store))


def public_port(config: Config, edge_port: int) -> int | None:
    """The port in a site's URL; None for the scheme's own."""
    port = config.url_port if config.url_port is not None else edge_port
    return None if port == {"http": 80, "https": 443}[config.url_scheme] else port


def edges_answer(host: str, port: int) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    connection = http.client.HTTPConnection(address, port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/", headers={"Host": ABSENT_HOST})
        return connection.getresponse().status == 404
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
