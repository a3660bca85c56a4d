"""What the handlers work with, wired once: the store, the blobs and bundles, the secrets, the clock.

Reads are short and happen where they are needed. Writes leave the event loop at one line, `commit`, for a thread of
their own: the store takes one writer at a time, and none of them may hold up the loop with its fsync. Work that is
heavy on the processor or the disk goes to threads as well, few at a time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

from asset_server.blobs import BlobStore
from control_plane.clock import Clock
from control_plane.deploy_order import DeployOrders
from control_plane.documents import PublicUrl, Renderer
from control_plane.key_proofs import TOKEN_PEPPER, UPLOAD_KEY, VARIABLES_KEY, settle_key
from control_plane.secret_files import read_or_make_key
from control_plane.tokens import TokenDesk
from control_plane.upload_token import UploadTokens
from envelope.bodies import BodyBudget
from functions.bundle import BundleStore, StoredBundle
from functions.event_sink import EventSink
from functions.key_values import KeyValueStore
from functions.variable_seal import VariableSeal
from router.hashing import KeyRing
from router.kv.store import Store, Transaction
from router.metrics.reading import Reading
from router.site_names import SiteNames

if TYPE_CHECKING:
    from control_plane.activation import Activation

ACCOUNT_ID_DEFAULT: Final = b"onehop".hex().ljust(32, "0")
HEAVY_THREADS: Final = 4

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PlaneSecrets:
    """The keys of DATA/secrets/ that the control plane alone needs."""

    token_pepper: bytes = field(repr=False)
    upload_key: bytes = field(repr=False)
    variables_key: bytes = field(repr=False)

    @classmethod
    def settle(cls, store: Store, folder: Path) -> Self:
        """Those of this store; a new store's are made. Raises SecretUnusable."""
        return cls(
            token_pepper=settle_key(store, folder / TOKEN_PEPPER),
            upload_key=read_or_make_key(folder / UPLOAD_KEY),
            variables_key=settle_key(store, folder / VARIABLES_KEY),
        )


class ControlPlane:
    """One data folder's control plane. `keys` is asked at each use, since a rotation replaces the ring."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: BlobStore,
        bundles: BundleStore,
        key_values: KeyValueStore,
        events: EventSink,
        keys: Callable[[], KeyRing],
        names: SiteNames,
        secrets: PlaneSecrets,
        url: PublicUrl,
        clock: Clock = Clock(),  # noqa: B008  # frozen and without state
        account_id: str = ACCOUNT_ID_DEFAULT,
        edges_answer: Callable[[], bool] = lambda: True,
        start_problem: Callable[[StoredBundle, int], str | None] = lambda _bundle, _site_no: None,
        read_metrics: Callable[[], Reading] = lambda: Reading.of([]),
    ) -> None:
        self.store = store
        self.blobs = blobs
        self.bundles = bundles
        self.key_values = key_values
        self.events = events
        self.names = names
        self.keys = keys
        self.clock = clock
        self.account_id = account_id
        self.edges_answer = edges_answer
        self.start_problem = start_problem
        """Why a function of the site with that number doesn't start; None where it does. Blocks."""
        self.read_metrics = read_metrics
        self.tokens = TokenDesk(pepper=secrets.token_pepper, now=clock.now)
        self.upload_tokens = UploadTokens(key=secrets.upload_key, now_s=clock.now_s)
        self.seal = VariableSeal(key=secrets.variables_key)
        self.renderer = Renderer(names=names, url=url)
        self.orders = DeployOrders()
        self.bodies = BodyBudget()
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._heavy = ThreadPoolExecutor(HEAVY_THREADS, "heavy")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finishes what is under way."""
        self._heavy.shutdown()
        self._writer.shutdown()

    async def commit(self, action: Callable[[Transaction], Result]) -> Result:
        """Runs `action` in a write transaction, which is durable when this returns and has left no trace when it
        raises."""
        return await asyncio.wrap_future(self._writer.submit(self._in_transaction, action))

    def commit_from_thread(self, action: Callable[[Transaction], Result]) -> Result:
        """The same, for work that is in a thread already."""
        return self._writer.submit(self._in_transaction, action).result()

    async def commit_routes(self, action: Callable[[Transaction], Result]) -> Result:
        """The same, for actions that may put a manifest: none of it is collected before a route names it."""

        def claim_and_commit() -> Result:
            with self.blobs.claiming():
                return self.commit_from_thread(action)

        return await self.heavily(claim_and_commit)

    async def heavily(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in a thread; a few at a time, the others wait."""
        return await asyncio.wrap_future(self._heavy.submit(work))

    def activation(self, transaction: Transaction) -> "Activation":
        # Imported here, in the writer's thread: a tenth of the control plane, for which no start need wait.
        from control_plane.activation import Activation
        from control_plane.dual_write import TableEdits

        keys = self.keys()
        tables = TableEdits(transaction, keys, self.names)
        return Activation(transaction=transaction, keys=keys, names=self.names, clock=self.clock, tables=tables)

    def _in_transaction(self, action: Callable[[Transaction], Result]) -> Result:
        with self.store.write() as transaction:
            return action(transaction)
