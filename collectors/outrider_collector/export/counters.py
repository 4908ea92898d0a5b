"""What an export counts since its collector began. Written by its thread; read by any."""

from msgspec import Struct


class Counters(Struct):
    """One export's numbers. `behind` counts changes in the feed that it has yet to look at; it may skip some.

    sent: findings that the target took. refused: those it will never take. retried: failed tries of single findings.
    failures: times that nothing got through. forgotten: given up findings that had to make room for later ones.
    waiting: findings that are to be sent later, since they repeat or failed. failed: the latter alone. dead: findings
    that were given up. holding: this collector exports. failing: the target takes nothing.
    """

    name: str
    kind: str
    sent: int = 0
    refused: int = 0
    retried: int = 0
    failures: int = 0
    forgotten: int = 0
    store_errors: int = 0
    waiting: int = 0
    failed: int = 0
    dead: int = 0
    behind: int = 0
    sent_at_ns: int = 0
    holding: bool = False
    failing: bool = False
    error: str = ""
