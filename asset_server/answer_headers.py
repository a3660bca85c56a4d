"""An answer's headers while a site's rules are let at them (pages-serving 5.3).

The first rule to set a name replaces what was there; what later rules set is added, in one field but for Set-Cookie.
All that rules set fits into a bound, since a head is built and sent whole: what doesn't is left out (differences 26).
"""

from collections.abc import Iterable
from typing import Final

from asset_server.message import HeaderFields

SET_BYTES_MAX: Final = 64 * 1024
"""For all that the rules set of one answer. Clients give up earlier: curl at 300 KB in all, most proxies at 8 to 64."""
FIELD_BYTES: Final = 4  # ": " and the line's end
SET_COOKIE: Final = b"set-cookie"


class AnswerHeaders:
    """Each operation takes the same time however many headers there are."""

    __slots__ = ("_bytes_left", "_set_names", "_values")

    def __init__(self, headers: HeaderFields) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            self._values.setdefault(name, []).append(value)
        self._set_names: set[bytes] = set()
        self._bytes_left = SET_BYTES_MAX

    def has_room(self, name: bytes, value_bytes: int) -> bool:
        return len(name) + value_bytes + FIELD_BYTES <= self._bytes_left

    def detach(self, names: Iterable[bytes]) -> None:
        for name in names:
            self._values.pop(name, None)

    def set(self, name: bytes, value: bytes) -> None:
        """Has no effect where there is no room."""
        left = self._bytes_left - len(name) - len(value) - FIELD_BYTES
        if left < 0:
            return
        self._bytes_left = left
        if name in self._set_names:
            self._values.setdefault(name, []).append(value)
        else:
            self._values.pop(name, None)
            self._values[name] = [value]
            self._set_names.add(name)

    def fields(self) -> HeaderFields:
        fields: HeaderFields = []
        for name, values in self._values.items():
            if len(values) == 1:
                fields.append((name, values[0]))
            elif name == SET_COOKIE or name not in self._set_names:
                fields += [(name, value) for value in values]
            else:
                fields.append((name, b", ".join(values)))
        return fields
