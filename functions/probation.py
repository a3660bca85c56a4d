"""Which bundles may run beside the others, after a process was lost to one of them. Pure: the clock comes in.

workerd runs all isolates on one thread, so an endless loop stops every site, and nothing in it says whose loop it is.
What is known is which bundles had a request under way, or had one just before (work goes on after an answer). When no
other can have been it, a bundle is the culprit and rests, each time for longer; when several can, each is a suspect and
runs in a cell (a process for it alone) until it has answered and its time in the cell is over. A bundle that gives no
trouble for a while is forgotten.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

REST_S: Final = 1.0
REST_S_MAX: Final = 64.0
CELL_S: Final = 5.0
CELL_S_MAX: Final = 320.0
FORGOTTEN_AFTER_S: Final = 900.0
BUNDLES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Resting:
    """Nothing of the bundle runs for that long."""

    left_s: float


@dataclass(slots=True)
class Record:
    offences: int = 0
    suspicions: int = 0
    rests_until_s: float = 0.0
    in_cell_until_s: float = 0.0
    has_answered: bool = True
    last_trouble_s: float = 0.0


class Probation:
    """What is held against each bundle. `bundle` is its id."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def note_loss(self, bundles: Collection[str], now_s: float, *, is_certain: bool) -> None:
        """A process was lost to one of `bundles`; `is_certain` where it can have been no other."""
        for bundle in bundles:
            record = self._records.setdefault(bundle, Record())
            record.last_trouble_s, record.has_answered = now_s, False
            if is_certain:
                record.offences += 1
                rest_s = min(REST_S * 2 ** (record.offences - 1), REST_S_MAX)
                record.rests_until_s = now_s + rest_s
                record.in_cell_until_s = record.rests_until_s + CELL_S_MAX
            else:
                record.suspicions += 1
                cell_s = 0.0 if record.suspicions == 1 else min(CELL_S * 4 ** (record.suspicions - 2), CELL_S_MAX)
                record.in_cell_until_s = max(record.in_cell_until_s, now_s + cell_s)
        self._forget(now_s)

    def note_answer(self, bundle: str) -> None:
        """A request of it came to its end in good order."""
        if (record := self._records.get(bundle)) is not None:
            record.has_answered = True

    def resting(self, bundle: str, now_s: float) -> Resting | None:
        record = self._records.get(bundle)
        if record is None or record.rests_until_s <= now_s:
            return None
        return Resting(record.rests_until_s - now_s)

    def needs_cell(self, bundle: str, now_s: float) -> bool:
        record = self._records.get(bundle)
        return record is not None and (not record.has_answered or record.in_cell_until_s > now_s)

    def under_watch(self, now_s: float) -> list[str]:
        """The bundles that rest or need a cell."""
        return [each for each in self._records if self.resting(each, now_s) or self.needs_cell(each, now_s)]

    def _forget(self, now_s: float) -> None:
        old = [each for each, record in self._records.items() if now_s - record.last_trouble_s > FORGOTTEN_AFTER_S]
        surplus = sorted(self._records, key=lambda each: self._records[each].last_trouble_s)[:-BUNDLES_MAX]
        for each in {*old, *surplus}:
            del self._records[each]
