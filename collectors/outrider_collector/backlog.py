"""How far the index is behind the spool, and how much the spool holds."""

from pathlib import Path

from outrider_collector.indexer import Indexer
from outrider_collector.spool import Spool


def backlog_bytes(indexer: Indexer, spool: Spool) -> int:
    """Bytes of the spool that are not indexed yet."""
    position, written = indexer.position, spool.written
    if position >= written:
        return 0
    if position.file == written.file:
        return written.offset - position.offset
    sizes = _sizes(spool.directory)
    between = sum(size for number, size in sizes.items() if position.file <= number < written.file)
    return max(between - position.offset + written.offset, 0)


def spool_bytes(spool: Spool) -> int:
    """Bytes of the spool on disk."""
    return sum(_sizes(spool.directory).values())


def _sizes(directory: Path) -> dict[int, int]:
    found = {}
    for path in directory.glob("*.spool"):
        try:
            found[int(path.stem)] = path.stat().st_size
        except (OSError, ValueError):
            continue  # removed meanwhile, or none of ours
    return found
