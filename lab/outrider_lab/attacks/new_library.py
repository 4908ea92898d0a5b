"""New libraries: shared objects that appeared after the container started, and are loaded by a program that did not."""

from typing import Final

from outrider_lab.attacks.scenario import NEW_LIBRARY, Scenario

_COPY: Final = "cp -L \"$(ldconfig -p | sed -n 's/.*libz\\.so\\.1 .*=> //p' | head -n 1)\" {target}"

_MEMORY: Final = """
import ctypes, os, sys, time
fd = os.memfd_create("jit", 0)
os.set_inheritable(fd, True)
os.write(fd, open(sys.argv[1], "rb").read())
name = "/proc/self/fd/%d" % fd
{run}
"""


def _copy_to(target: str) -> str:
    return _COPY.replace("{target}", target)


def _from_memory(run: str) -> str:
    library = _COPY.removeprefix("cp -L ").removesuffix(" {target}")
    return f"{{python}} -c '{_MEMORY.replace('{run}', run)}' {library}"


NEW_LIBRARIES: Final = (
    Scenario(
        name="new-library-preloaded",
        idea="a new shared object is forced into an old program by LD_PRELOAD",
        command=f"{_copy_to('/tmp/libpre.so')} && LD_PRELOAD=/tmp/libpre.so sleep 0.3; rm -f /tmp/libpre.so",
        finding=NEW_LIBRARY,
        tools=("ldconfig",),
    ),
    Scenario(
        name="new-library-opened",
        idea="a program that runs already opens a new shared object",
        command=(
            f"{_copy_to('/tmp/libopen.so')} && {{python}} -c"
            " 'import ctypes, time; ctypes.CDLL(\"/tmp/libopen.so\"); time.sleep(0.5)'; rm -f /tmp/libopen.so"
        ),
        finding=NEW_LIBRARY,
        tools=("ldconfig",),
    ),
    Scenario(
        name="new-library-by-path",
        idea="LD_LIBRARY_PATH puts a new library in the place of the one a program was linked with",
        command=(
            "mkdir -p /tmp/libs"
            " && cp -L \"$(ldd /usr/bin/openssl | sed -n 's/.*libssl.*=> \\([^ ]*\\).*/\\1/p')\" /tmp/libs/"
            " && (sleep 0.4 | LD_LIBRARY_PATH=/tmp/libs openssl dgst -sha256); rm -rf /tmp/libs"
        ),
        finding=NEW_LIBRARY,
        tools=("openssl", "ldd"),
    ),
    Scenario(
        name="new-library-from-memory",
        idea="a program opens a shared object that lies in memory (memfd)",
        command=_from_memory("ctypes.CDLL(name); time.sleep(2)"),
        finding=NEW_LIBRARY,
        tools=("ldconfig",),
    ),
    Scenario(
        name="new-library-preloaded-from-memory",
        idea="a shared object in memory is forced into an old program by the name of its descriptor",
        command=_from_memory('os.execve("/bin/true", ["true"], {"LD_PRELOAD": name})'),
        finding=NEW_LIBRARY,
        tools=("ldconfig",),
    ),
    Scenario(
        name="new-library-preloaded-deleted",
        idea="a shared object is deleted, and forced into an old program by the name of a descriptor",
        command=(
            f"{_copy_to('/tmp/libgone.so')} && exec 7</tmp/libgone.so && rm /tmp/libgone.so"
            " && LD_PRELOAD=/proc/self/fd/7 /bin/true"
        ),
        finding=NEW_LIBRARY,
        tools=("ldconfig",),
    ),
    Scenario(
        name="new-library-out-of-the-way",
        idea="a shared object is put where nothing is watched, opened, and deleted at once",
        command=(
            f"mkdir -p /usr/share/doc/q && {_copy_to('/usr/share/doc/q/x.so')} && {{python}} -c"
            ' \'import ctypes, os, time; ctypes.CDLL("/usr/share/doc/q/x.so"); os.unlink("/usr/share/doc/q/x.so");'
            " time.sleep(2)'"
        ),
        finding=NEW_LIBRARY,
        tools=("ldconfig",),
    ),
)
