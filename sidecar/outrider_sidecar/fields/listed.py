"""Our fields of the threat lists: what they say of a name asked for, of the other end, and of a file's digests."""

from collections.abc import Callable
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.fields.sockets import remote_address
from outrider_sidecar.intel import Listing
from outrider_sidecar.world.kinds import CONNECTION_TYPES, HASH_TYPES, NAME_TYPES
from outrider_wire.events import FileHashed, NameQueried, NameResolved

Find = Callable[[Context], Listing | None]


def listed_name(context: Context) -> Listing | None:
    event = context.event
    if not isinstance(event, NameQueried | NameResolved):
        return None
    return context.world.intel.of_name(event.name, event.at_ns)


def listed_remote(context: Context) -> Listing | None:
    address = remote_address(context)
    return context.world.intel.of_address(address, context.event.at_ns) if address else None


def listed_file(context: Context) -> Listing | None:
    event = context.event
    if not isinstance(event, FileHashed):
        return None
    return context.world.intel.of_file(event.digests, event.at_ns)


def hashed_path(context: Context) -> str | None:
    return context.event.file.path if isinstance(context.event, FileHashed) else None


def digest(algorithm: str) -> Callable[[Context], str | None]:
    """The digest of that algorithm, where the lists have digests of it."""

    def get(context: Context) -> str | None:
        return context.event.digests.get(algorithm) if isinstance(context.event, FileHashed) else None

    return get


def _category(find: Find) -> Callable[[Context], str | None]:
    return lambda context: listing.category or None if (listing := find(context)) else None


def _listed_as(find: Find) -> Callable[[Context], str | None]:
    return lambda context: listing.listed_as if (listing := find(context)) and not listing.trusted else None


def _source(find: Find) -> Callable[[Context], str | None]:
    return lambda context: listing.source if (listing := find(context)) else None


def _is_trusted(find: Find) -> Callable[[Context], bool]:
    return lambda context: (listing := find(context)) is not None and listing.trusted


LISTS: Final = "the threat lists"
READ: Final = "the file, read once it runs"
_SORTS: Final = (
    ("dns", listed_name, NAME_TYPES, "the name asked for", "domain"),
    ("net", listed_remote, CONNECTION_TYPES, "the other end's address", "network"),
    ("hash", listed_file, HASH_TYPES, "the new file that runs", "digest"),
)

FIELDS = (
    *(
        Field(f"{sort}.category", "str", _category(find), events=types, doc=f"Category of {what}.", source=LISTS)
        for sort, find, types, what, _ in _SORTS
    ),
    *(
        Field(f"{sort}.listed_as", "str", _listed_as(find), events=types, doc=f"The {thing} listed.", source=LISTS)
        for sort, find, types, _, thing in _SORTS
    ),
    *(
        Field(f"{sort}.list", "str", _source(find), events=types, doc=f"Which list names {what}.", source=LISTS)
        for sort, find, types, what, _ in _SORTS
    ),
    *(
        Field(f"{sort}.is_trusted", "bool", _is_trusted(find), events=types, doc=f"A list trusts {what}.", source=LISTS)
        for sort, find, types, what, _ in _SORTS
    ),
    Field("hash.path", "str", hashed_path, events=HASH_TYPES, doc="The file's path in the container."),
    *(
        Field(
            f"hash.{algorithm}",
            "str",
            digest(algorithm),
            events=HASH_TYPES,
            weaker="worked out only for algorithms that the lists use",
            doc=f"Its {algorithm} digest.",
            source=READ,
        )
        for algorithm in ("sha256", "sha1", "md5")
    ),
)
