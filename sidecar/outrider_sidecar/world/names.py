"""Names that addresses were resolved from, as the task's own DNS answers told."""

from collections import OrderedDict
from typing import Final

from outrider_wire.events import NameResolved

MAX_ADDRESSES: Final = 8_192
MAX_NAMES_EACH: Final = 4


class Names:
    """The newest names of each address; the least recently answered addresses go first."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def learn(self, event: NameResolved) -> None:
        for address in event.addresses:
            earlier = tuple(name for name in self._by_address.pop(address, ()) if name != event.name)
            self._by_address[address] = (event.name, *earlier)[:MAX_NAMES_EACH]
            if len(self._by_address) > MAX_ADDRESSES:
                self._by_address.popitem(last=False)

    def of(self, address: str) -> tuple[str, ...]:
        """The names an address was the answer to, newest first."""
        return self._by_address.get(address, ())
