"""The systemd unit of the host process: one text, each line with its reason, limits by the size of the machine.

What it must be able to do decides what can be taken away. It reads every process under /proc, follows /proc/PID/root
into every container, marks file systems (fanotify), opens files by handle, listens to the proc connector, taps packets
in every container's network namespace, and traces (ptrace) where the connector is not to be had.
"""

import re
from typing import Final

from outrider_cdk.limits import MIB, cpu_quota_percent, memory_limit_bytes

PROGRAM: Final = "/opt/outrider/bin/outrider"
JOURNAL_DIR: Final = "/var/lib/outrider"
SETTINGS_FILE: Final = "/etc/outrider/outrider.env"

CAPABILITIES: Final = (
    ("CAP_SYS_ADMIN", "fanotify marks, and entering a container's network namespace"),
    ("CAP_NET_ADMIN", "receive buffers that hold a burst; before Linux 6.6 the proc connector at all"),
    ("CAP_NET_RAW", "packet taps"),
    ("CAP_SYS_PTRACE", "/proc/PID/{root,exe,fd,maps} of every process; ptrace where it comes to that"),
    ("CAP_DAC_READ_SEARCH", "files whoever owns them, and open_by_handle_at"),
)
"""The least that sees everything, each with what it is for."""

SYSTEM_CALLS: Final = ("@system-service", "fanotify_init", "fanotify_mark", "open_by_handle_at", "ptrace")
"""What the process may call: systemd's own set for services, and what the senses need besides."""

_PLAIN_PATH: Final = re.compile(r"(/[A-Za-z0-9._+@-]+)+")
"""Paths that no rule of systemd's for quoting, splitting, specifiers or variables has a say in."""

_UNIT: Final = """\
# Made by `outrider unit` for a machine of {cpus} CPUs and {machine_mib} MiB. Make it again when the machine is another;
# change single lines by `systemctl edit outrider`.
[Unit]
Description=Outrider, a runtime guard for the containers of this machine
# Up before the first container, and down after the last. No dependency: Docker starts whatever becomes of this, when it
# is up, has failed, or TimeoutStartSec is over.
Before=docker.service containerd.service ecs.service
# Never give up; see RestartPreventExitStatus for what is not tried again.
StartLimitIntervalSec=0

[Service]
# Up when its processes are started. From then on it beats while all of them are well. Where nothing is heard for so
# long, because the one that minds the others was stopped or hangs, all are killed, which a stopped process cannot put
# off, and started anew. A starved machine is given the time to be slow.
Type=notify
TimeoutStartSec=60
WatchdogSec=30
WatchdogSignal=SIGKILL
ExecStart={program} run --mode host
Environment=OUTRIDER_JOURNAL_DIR={journal} OUTRIDER_STOP_TIMEOUT_S=5
# Optional. A token belongs into a file of its own (OUTRIDER_TOKEN_FILE); tables into TOML (OUTRIDER_CONFIG).
EnvironmentFile=-{settings}
# /var/lib/outrider: the journal and the key. Root's alone.
StateDirectory=outrider
StateDirectoryMode=0700
UMask=0077

# Whatever ends it, it comes back; 2 is a setting that is wrong and 77 a machine that it cannot guard.
Restart=always
RestartSec=1
RestartPreventExitStatus=2 77
# The supervisor is told to stop and ends its own processes in order; what is left is killed.
KillMode=mixed
TimeoutStopSec=20
# One process out of memory is restarted by the supervisor, the others go on.
OOMPolicy=continue

# The limits that GuardDuty sets for its agent: a tenth of the vCPUs, memory by the machine's size.
CPUAccounting=yes
CPUQuota={cpu_percent}%
# Used up, a quota stops the process until the period ends. In the default period of 100 ms a container's program that
# waits for a decision (respond = on) would wait as long.
CPUQuotaPeriodSec=10ms
MemoryAccounting=yes
MemoryMax={memory_mib}M
TasksMax=512
LimitNOFILE=65536

# {capability_reasons}
CapabilityBoundingSet={capabilities}
# Nothing it starts can gain a privilege; it starts nothing.
NoNewPrivileges=yes

# A mount namespace of its own, in which all but the journal is read-only. It is left out of guarding, and takes nothing
# from sight: containers are reached through /proc/PID/root.
PrivateMounts=yes
ProtectSystem=strict
# Not hidden: pipx may have put the program there.
ProtectHome=read-only
PrivateTmp=yes
# Only null, zero, random and their like: no disk, no kernel memory.
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
# All of /proc stays, because all of it is read. No private network, users or PIDs: the proc connector speaks to the
# machine's first namespaces alone, and capabilities elsewhere are worth nothing here.
ProtectProc=default
ProcSubset=all

# Collector, name service and log; netlink for the connector and sock_diag; packet for the taps.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
# It enters network namespaces of containers, and makes or enters no others.
RestrictNamespaces=net
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
# A call that is missing here is refused, not fatal: the sense that wanted it says so.
SystemCallArchitectures=native
SystemCallFilter={system_calls}
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def systemd_unit(*, cpus: int, machine_bytes: int, program: str = PROGRAM) -> str:
    """The unit for a machine with so many CPUs and so much memory. Raises ValueError for a path systemd cannot run."""
    if not _PLAIN_PATH.fullmatch(program):
        raise ValueError(f"{program!r}: must be an absolute path of plain characters")
    return _UNIT.format(
        cpus=cpus,
        machine_mib=machine_bytes // MIB,
        program=program,
        journal=JOURNAL_DIR,
        settings=SETTINGS_FILE,
        cpu_percent=cpu_quota_percent(cpus),
        memory_mib=memory_limit_bytes(machine_bytes) // MIB,
        capability_reasons="\n# ".join(f"{name.removeprefix('CAP_')}: {reason}." for name, reason in CAPABILITIES),
        capabilities=" ".join(name for name, _ in CAPABILITIES),
        system_calls=" ".join(SYSTEM_CALLS),
    )
