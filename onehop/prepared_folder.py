"""A data folder as every process needs it, before any of them is there."""

from onehop.config import Config
from onehop.data_folder import DataFolder
from router.data_centres import note_data_centre
from router.key_files import open_key_ring, settle_pages_domain
from router.kv.store import open_store


def prepare(config: Config) -> DataFolder:
    """Makes the data folder if it is new, and proves that its keys and domain are the ones that we were given.

    Raises DataFolderRefused, StoreError, KeysRefused, SecretUnusable.
    """
    folder = DataFolder(config.data)
    folder.create()
    with open_store(folder.kv, create=True) as store:
        open_key_ring(store, folder.route_keys)
        settle_pages_domain(store, config.pages_domain)
        note_data_centre(store, config.dc)
    return folder
