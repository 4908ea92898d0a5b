"""Errors, divided by whose doing they are.

`ConfigError` is the operator's, `Unavailable` the environment's, `ProcessGone` nobody's (an expected race),
`WireError` the peer's, `DeliveryError` the network's. Everything else uses Python's built-in errors.
"""


class ConfigError(Exception):
    """The operator asked for something that cannot be: says what, where and how to mend it."""


class Unavailable(Exception):
    """This environment does not allow something; the product goes on without it and says so.

    `reason` is what was tried and what the kernel or system answered; `remedy` is what would allow it
    (empty where nothing would).
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason} ({remedy})" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class ProcessGone(Exception):
    """The process ended before it could be read. Expected at any moment; never logged as a fault."""


class WireError(Exception):
    """A peer sent bytes that are not what the contract allows; nothing of them was used.

    `code` is a short stable word for machines (`bad-signature`, `too-large`, `gap`, …).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class DeliveryError(Exception):
    """A batch could not be delivered now; `retry_after_s` is the peer's wish, or None."""

    def __init__(self, detail: str, *, retry_after_s: float | None = None, refused: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.refused = refused
