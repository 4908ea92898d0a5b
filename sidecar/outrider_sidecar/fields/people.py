"""Fields of who acts: Falco's `user.*`, `group.*` and `thread.*`, our `user.euid`."""

from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.decode.accounts import User
from outrider_sidecar.decode.status import capability_names
from outrider_sidecar.fields.context import Context
from outrider_wire.events import ProcessId


def uid(context: Context) -> int | None:
    return context.process.uid if context.process and context.process.uid >= 0 else None


def euid(context: Context) -> int | None:
    return context.process.euid if context.process and context.process.euid >= 0 else None


def gid(context: Context) -> int | None:
    return context.process.gid if context.process and context.process.gid >= 0 else None


def _user(context: Context, number: int | None) -> User | None:
    accounts = context.accounts if number is not None else None
    return accounts.users.get(number) if accounts is not None and number is not None else None


def name(context: Context) -> str | None:
    """Root is root where the container has no passwd at all."""
    number = uid(context)
    user = _user(context, number)
    return user.name if user else "root" if number == 0 else None


def home(context: Context) -> str | None:
    user = _user(context, uid(context))
    return user.home if user else None


def shell(context: Context) -> str | None:
    user = _user(context, uid(context))
    return user.shell if user else None


def login_uid(context: Context) -> int | None:
    """Inherited over fork(2): where the process is gone, a living ancestor's, else as of one that never logged in."""
    if context.process is None:
        return None
    for process in (context.process, *context.ancestors):
        if process.alive and (number := _login_uid(context, process.id)) is not None:
            return number
    return -1


def _login_uid(context: Context, process: ProcessId) -> int | None:
    return context.world.late.login_uid(process)


def login_name(context: Context) -> str | None:
    user = _user(context, login_uid(context))
    return user.name if user else None


def group_name(context: Context) -> str | None:
    number = gid(context)
    accounts = context.accounts if number is not None else None
    found = accounts.groups.get(number) if accounts is not None and number is not None else None
    return found or ("root" if number == 0 else None)


def effective(context: Context) -> str | None:
    return capability_names(context.status.effective) if context.status else None


def permitted(context: Context) -> str | None:
    return capability_names(context.status.permitted) if context.status else None


def inheritable(context: Context) -> str | None:
    return capability_names(context.status.inheritable) if context.status else None


def thread_id(context: Context) -> int | None:
    return context.process.id.pid if context.process else None


PASSWD: Final = "the container's own /etc/passwd"
AUXV: Final = "auxiliary vector"
STATUS: Final = "/proc/PID/status"
READ_LATE: Final = "read from /proc when a rule asks; absent once the process is gone"
LOGIN_LATE: Final = "read from /proc when a rule asks; a living ancestor's, or -1, once the process is gone"

FIELDS = (
    Field("user.uid", "int", uid, doc="Real user id.", source=AUXV),
    Field("user.euid", "int", euid, set_by_exec=True, doc="Effective user id.", source=AUXV),
    Field("user.name", "str", name, doc="Name of the real user id in the container.", source=PASSWD),
    Field("user.homedir", "str", home, doc="That user's home directory.", source=PASSWD),
    Field("user.shell", "str", shell, doc="That user's shell.", source=PASSWD),
    Field(
        "user.loginuid",
        "int",
        login_uid,
        weaker=LOGIN_LATE,
        doc="User id of the login that it descends from; -1 for none.",
        source="/proc/PID/loginuid",
    ),
    Field("user.loginname", "str", login_name, weaker=LOGIN_LATE, doc="Name of that user.", source=PASSWD),
    Field("group.gid", "int", gid, doc="Real group id.", source=AUXV),
    Field("group.name", "str", group_name, doc="Its name in the container.", source="the container's own /etc/group"),
    Field("thread.tid", "int", thread_id, doc="The process id: threads are not told apart."),
    *(
        Field(
            f"thread.cap_{word}",
            "str",
            get,
            set_by_exec=True,
            weaker=READ_LATE,
            doc=f"Its {word} capabilities, as CAP_CHOWN CAP_KILL.",
            source=STATUS,
        )
        for word, get in (("effective", effective), ("permitted", permitted), ("inheritable", inheritable))
    ),
)
