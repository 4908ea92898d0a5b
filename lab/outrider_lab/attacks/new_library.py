"""New libraries: shared objects that appeared after the container started, and are loaded by a program that did not."""

from typing import Final

from outrider_lab.attacks.scenario import NEW_LIBRARY, Scenario

_COPY: Final = "cp -L \"$(ldconfig -p | sed -n 's/.*libz\\.so\\.1 .*=> //p' | head -n 1)\" {target}"


def _copy_to(target: str) -> str:
    return _COPY.replace("{target}", target)


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
)
