"""Which findings an export is told of, and which of them now: pure."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from outrider_collector.export.configuration import Export
from outrider_collector.store.exports import Item
from outrider_collector.store.stored import RANKS, StoredFinding


def wants(export: Export, found: StoredFinding) -> bool:
    """Whether the filters let a finding through."""
    return (
        RANKS[found.finding.severity] >= RANKS[export.severity]
        and found.state in export.states
        and (not export.types or any(fnmatchcase(found.finding.type, pattern) for pattern in export.types))
    )


def is_due(item: Item | None, *, happened: bool, now_ns: int) -> bool:
    """Whether it goes now: one that was just sent, or is to be tried again later, waits for its time.

    What was done about a finding goes at once where the export is told of that at all.
    """
    if item is None or item.status == "dead" or item.due_ns <= now_ns:
        return True
    return not happened and item.status == "rests"


def waiting(item: Item) -> Item:
    """The same, with something new to be told when its time comes."""
    return Item(item.finding, "waits", item.due_ns, item.tries, item.reason)


class Page:
    """A page of the feed, looked through. `rows` are in the order of their changes.

    items: what is remembered of them. send: what is to go now. wait: what is to go later. The rest is passed over.
    """

    def __init__(
        self,
        export: Export,
        rows: list[StoredFinding],
        items: Mapping[str, Item],
        happened: Collection[int],
        now_ns: int,
    ) -> None:
        self.rows = rows
        self.items = dict(items)
        self.send: list[StoredFinding] = []
        self.wait: dict[int, Item] = {}
        for row in rows:
            is_news = row.change in happened
            if not wants(export, row) or (export.news_only and not is_news):
                continue
            item = items.get(row.id)
            if item is None or is_due(item, happened=is_news, now_ns=now_ns):
                self.send.append(row)
            else:
                self.wait[row.change] = waiting(item)

    def waits_up_to(self, change: int) -> list[Item]:
        """What is to be remembered once the position is there."""
        return [item for number, item in self.wait.items() if number <= change]
