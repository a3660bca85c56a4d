"""What can go wrong with the store.

    StoreError
    ├─ StoreFull        no room for a write; nothing of it is visible, and the store goes on
    ├─ StoreDamaged     its bytes aren't what was written
    ├─ StoreLocked      someone else holds what is needed: every reader's place, or the lock
    └─ StoreRefused     it can't be opened as it is
       ├─ StoreMissing      there is none
       └─ SchemaUnknown     another release made it

Every error of LMDB's becomes one of these in `translation`; none of them passes the store's seam.
"""


class StoreError(Exception):
    """The store could not do what was asked."""


class StoreFull(StoreError):
    """A write found no room on the disk or in the map."""


class StoreDamaged(StoreError):
    """Bytes of the store aren't what was written."""


class StoreLocked(StoreError):
    """Another process, or too many of them, hold what was asked for."""


class StoreRefused(StoreError):
    """The store can't be opened as it is."""


class StoreMissing(StoreRefused):
    """There is no store at that place."""


class SchemaUnknown(StoreRefused):
    """The store was made by a release that lays it out otherwise."""
