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
from outrider_collector.store.agents import Agent, Status, load_agent, load_agents_since

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


class KeyRing:
    """Agents' keys. `find` is called by the thread that accepts, all else by any."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self._keys: OrderedDict[str, Key] = OrderedDict()
        self._lock = threading.Lock()
        self._newest_ns = 0
        self._second, self._misses = 0, 0

    def find(self, agent: str, *, patient: bool = False) -> Key | None:
        """The agent's key; the store is asked for one that is new here, however many were asked for if `patient`.

        Raises:
            Limited: too many were asked for in this second; whether this one is known is not known.
            SQLAlchemyError: the store refuses.
        """
        with self._lock:
            key = self._keys.get(agent)
            if key is not None:
                self._keys.move_to_end(agent)
                return key
        if not patient and not self._may_ask():
            raise Limited(1.0)
        with self._engine.connect() as connection:
            found = load_agent(connection, agent)
        if found is not None:
            self.learn([found])
        return self._keys.get(agent)

    def learn(self, agents: Iterable[Agent]) -> None:
        """Take in agents as they are now."""
        with self._lock:
            for agent in agents:
                self._keys[agent.agent] = Key(agent.public_key, agent.status)
                self._newest_ns = max(self._newest_ns, agent.changed_at_ns)
            while len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)

    def refresh(self, connection: Connection) -> None:
        """Take in what other collectors changed. Raises SQLAlchemyError."""
        self.learn(load_agents_since(connection, self._newest_ns - OVERLAP_NS, limit=MAX_KEYS))

    def _may_ask(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._misses = second, 0
        self._misses += 1
        return self._misses <= MISSES_PER_S
