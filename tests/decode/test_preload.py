"""LD_PRELOAD and its relatives, split as ld.so(8) splits them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.preload import candidates, library_directories, parse_ld_so_preload, preloaded
from outrider_wire.events import ProcessExecuted, ProcessId


def _exec(cwd: str = "/work", **env: str) -> ProcessExecuted:
    return ProcessExecuted(0, ProcessId(1, 1), env=env, cwd=cwd)


PRELOADS = [
    ({}, []),
    ({"LD_PRELOAD": ""}, []),
    ({"LD_PRELOAD": "/tmp/a.so"}, ["/tmp/a.so"]),
    ({"LD_PRELOAD": "/tmp/a.so:/tmp/b.so /tmp/c.so"}, ["/tmp/a.so", "/tmp/b.so", "/tmp/c.so"]),
    ({"LD_PRELOAD": " : /tmp/a.so :: "}, ["/tmp/a.so"]),
    ({"LD_PRELOAD": "./a.so"}, ["/work/a.so"]),
    ({"LD_PRELOAD": "libjemalloc.so.2"}, ["libjemalloc.so.2"]),
    ({"LD_AUDIT": "/tmp/a b.so:/tmp/c.so"}, ["/tmp/a b.so", "/tmp/c.so"]),
    ({"LD_PRELOAD": "/tmp/a.so", "LD_AUDIT": "/tmp/a.so"}, ["/tmp/a.so"]),
    ({"LD_LIBRARY_PATH": "/tmp"}, []),
]


@pytest.mark.parametrize(("env", "names"), PRELOADS)
def test_what_is_ordered_to_be_loaded(env, names):
    """Paths are absolute, bare names stay bare, nothing is told twice."""
    assert preloaded(_exec(**env)) == names


def test_the_directories_put_first():
    """Colons and semicolons separate, an empty entry is the working directory."""
    assert library_directories(_exec(LD_LIBRARY_PATH="/tmp/lib;rel::/x/")) == ["/tmp/lib", "/work/rel", "/work", "/x"]
    assert library_directories(_exec()) == []
    assert candidates("a.so", ["/x", "/y"]) == ["/x/a.so", "/y/a.so"]
    assert candidates("/z/a.so", ["/x"]) == ["/z/a.so"]


def test_the_file_of_preloads():
    """Blanks, newlines and colons separate; a comment ends its line."""
    raw = b"/lib/a.so /lib/b.so\n# /no.so\n\t/lib/c.so:/lib/d.so # more\n\xff.so\n"
    assert parse_ld_so_preload(raw) == ["/lib/a.so", "/lib/b.so", "/lib/c.so", "/lib/d.so", "\\xff.so"]


@given(st.binary(max_size=200), st.text(max_size=60))
def test_nothing_breaks_the_splitting(raw, text):
    """Any bytes in the file and any text in the environment give lists of non-empty names."""
    assert all(parse_ld_so_preload(raw))
    assert all(preloaded(_exec(LD_PRELOAD=text, LD_AUDIT=text)))
    assert all(library_directories(_exec(LD_LIBRARY_PATH=text)))
