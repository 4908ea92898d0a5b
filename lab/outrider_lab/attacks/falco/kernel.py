"""Actions that are one rare system call."""

from typing import Final

from outrider_lab.attacks.falco.action import Action

_PACKET: Final = """
import socket, time
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
time.sleep(0.6)
"""
_TRACE_ME: Final = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
raise SystemExit(0 if libc.ptrace(0, 0, 0, 0) == 0 else "refused: %d" % ctypes.get_errno())
"""
_FAULTS: Final = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
raise SystemExit(0 if libc.syscall(323, 1) >= 0 else "refused: %d" % ctypes.get_errno())
"""
_SETUID: Final = """
import os
os.setuid(0)
"""

KERNEL: Final = (
    Action(
        name="PacketSocketCreatedInContainer",
        rule="Packet socket created in container",
        idea="a packet socket is opened and held for a moment",
        act=f"{{python}} -c '{_PACKET}'",
    ),
    Action(
        name="PtraceAttachedToProcess",
        rule="PTRACE attached to process",
        idea="strace is told to attach to a process of ours",
        prepare="sleep 1 & victim=$!",
        act="strace -o /dev/null -p $victim",
        undo="kill $victim",
        tools=("strace",),
    ),
    Action(
        name="PtraceAntiDebugAttempt",
        rule="PTRACE anti-debug attempt",
        idea="a process asks to be traced by its parent, which the kernel refuses while the sidecar traces it",
        act=f"{{python}} -c '{_TRACE_ME}'",
        blind="the call fails where processes are traced, and is not seen; where nobody traces, no sensor tells of it",
    ),
    Action(
        name="ChangeNamespacePrivilegesViaUnshare",
        rule="Change namespace privileges via unshare",
        idea="unshare is asked for a user namespace, which the seccomp profile refuses",
        act="unshare --user true",
        tools=("unshare",),
    ),
    Action(
        name="NonSudoSetuid",
        rule="Non sudo setuid",
        idea="the user daemon asks to become root, which the kernel refuses",
        act=f"setpriv --reuid=daemon --regid=daemon --clear-groups {{python}} -c '{_SETUID}'",
        tools=("setpriv",),
        blind="the call fails, and failed system calls are not seen, nor is a change of user without an exec",
    ),
    Action(
        name="UnprivilegedDelegationOfPageFaultsHandlingToAUserspaceProcess",
        rule="Unprivileged Delegation of Page Faults Handling to a Userspace Process",
        idea="the user daemon opens a userfaultfd, which the seccomp profile refuses",
        act=f"setpriv --reuid=daemon --regid=daemon --clear-groups {{python}} -c '{_FAULTS}'".replace(
            "{number}", "323"
        ),
        tools=("setpriv",),
        blind="the call fails under the default seccomp profile, and failed system calls are not seen",
    ),
    Action(
        name="ChangeThreadNamespace",
        rule="Change thread namespace",
        idea="setns to another process's namespace",
        needs="SYS_ADMIN",
        blind="no container of a Fargate task has SYS_ADMIN",
    ),
)
