"""The key ring: whose signatures are believed, in memory, so that a batch is checked without asking the store.

All collectors of one store may enrol, so each looks for news of the others every REFRESH_S: until then an agent that
enrolled elsewhere is asked for in the store by name, and a key that was quarantined elsewhere still speaks here.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from msgspec import Struct
from sqlalchemy import Connection, Engine

from outrider_collector.limits import Limited
from outrider_collector.store.agents import Agent, AgentKey, Status, changes_since, load_agent, load_keys_since
from outrider_wire.errors import WireError

MAX_KEYS = 200_000
"""Most agents kept in memory, some 400 bytes each; the one not heard for longest is forgotten, and asked for again."""

REFRESH_S = 1.0
OVERLAP_NS = 10_000_000_000
"""News is asked for from so long before the newest known: clocks of collectors differ, transactions end late."""

MISSES_PER_S = 200
"""Most questions to the store a second about agents that are new here. Past it they are told to come back."""


class Key(Struct, frozen=True, gc=False):
    """What is to be known of an agent to check its batch."""

    public_key: bytes
    status: Status


class NotAtHand(Limited):
    """The agent is not in memory: the store must be asked (`KeyRing.meet`), by a thread that may wait for it."""

    def __init__(self, agent: str) -> None:
        super().__init__(1.0)
        self.agent = agent


class KeyRing:
    """Agents' keys, for any thread. Only `find` and `meet` ask the store."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self._keys: OrderedDict[str, Key] = OrderedDict()
        self._lock = threading.Lock()
        self._newest_ns = 0
        self._read: tuple[int, int, int] | None = None
        self._second, self._misses = 0, 0

    def recall(self, agent: str) -> Key:
        """The agent's key, from memory. Raises NotAtHand."""
        with self._lock:
            key = self._keys.get(agent)
            if key is None:
                raise NotAtHand(agent)
            self._keys.move_to_end(agent)
            return key

    def meet(self, agent: str) -> None:
        """Have the store tell of an agent that is not at hand.

        Raises:
            WireError: `unknown-agent`, there is no such agent.
            Limited: too many were asked for in this second; whether this one is known is not known.
            SQLAlchemyError: the store refuses.
        """
        with self._lock:
            may_ask = self._may_ask()
        if not may_ask:
            raise Limited(1.0)
        if self.find(agent) is None:
            raise WireError("unknown-agent", "this agent is not enrolled here")

    def find(self, agent: str) -> Key | None:
        """The agent's key, of memory or the store, however often that was asked. Raises SQLAlchemyError."""
        try:
            return self.recall(agent)
        except NotAtHand:
            with self._engine.connect() as connection:
                found = load_agent(connection, agent)
        if found is None:
            return None
        with self._lock:  # what was learnt meanwhile is newer
            return self._keys.setdefault(agent, Key(found.public_key, found.status))

    def learn(self, agents: Iterable[Agent | AgentKey]) -> None:
        """Take in agents as they are now."""
        with self._lock:
            for agent in agents:
                self._keys[agent.agent] = Key(agent.public_key, agent.status)
                self._newest_ns = max(self._newest_ns, agent.changed_at_ns)
            while len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)

    def refresh(self, connection: Connection) -> None:
        """Take in what other collectors changed, where there is any. Raises SQLAlchemyError.

        Thousands may have enrolled within the overlap: they are read again only when one more did.
        """
        since_ns = self._newest_ns - OVERLAP_NS
        changes = since_ns, *changes_since(connection, since_ns)
        if changes != self._read:
            self.learn(load_keys_since(connection, since_ns, limit=MAX_KEYS))
            self._read = changes

    def _may_ask(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._misses = second, 0
        self._misses += 1
        return self._misses <= MISSES_PER_S
