"""What can go wrong with the store.

StoreError
  StoreFull       no room for a write; nothing of it is visible
  StoreDamaged    the file isn't a store, or parts of it can't be read
  StoreRefused    made by a newer release, missing, or not ours to open
"""


class StoreError(Exception):
    """The store could not do what was asked."""


class StoreFull(StoreError):
    """A write found no room on the disk or in the map."""


class StoreDamaged(StoreError):
    """Bytes of the store aren't what was written."""


class StoreRefused(StoreError):
    """The store can't be opened as it is."""
