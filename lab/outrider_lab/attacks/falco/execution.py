"""Actions that are one program started: by its name, its place, its parent or its environment."""

from typing import Final

from outrider_lab.attacks.falco.action import Action

_MEMFD: Final = """
import os
fd = os.memfd_create("outrider", 0)
with open("/bin/true", "rb") as program:
    os.write(fd, program.read())
os.execve("/proc/self/fd/%d" % fd, ["outrider-memfd"], {})
"""

EXECUTION: Final = (
    Action(
        name="DropAndExecuteNewBinaryInContainer",
        rule="Drop and execute new binary in container",
        idea="a program is copied into the container and run",
        prepare="cp /bin/true {scratch}/dropped",
        act="{scratch}/dropped",
    ),
    Action(
        name="ExecutionFromDevShm",
        rule="Execution from /dev/shm",
        idea="a script in /dev/shm is given to a shell",
        prepare="echo : >/dev/shm/outrider.sh",
        act="sh /dev/shm/outrider.sh",
        undo="rm -f /dev/shm/outrider.sh",
    ),
    Action(
        name="FilelessExecutionViaMemfdCreate",
        rule="Fileless execution via memfd_create",
        idea="a program is written to memory and executed there",
        act=f"{{python}} -c '{_MEMFD}'",
    ),
    Action(
        name="RunShellUntrusted",
        rule="Run shell untrusted",
        idea="a program that is called httpd starts a shell",
        prepare="ln -s {python} {scratch}/httpd",
        act="""{scratch}/httpd -c 'import subprocess; subprocess.run(["sh", "-c", "echo actor=$$; sleep 0.1; :"])'""",
    ),
    Action(
        name="SystemUserInteractive",
        rule="System user interactive",
        idea="the user daemon gets a program called login, which stands for an interactive session",
        prepare="ln -s /bin/sleep {scratch}/login; chmod 755 {scratch}",
        act="setpriv --reuid=daemon --regid=daemon --clear-groups {scratch}/login 0.2",
        tools=("setpriv",),
    ),
    Action(
        name="DbProgramSpawnedProcess",
        rule="DB program spawned process",
        idea="a program that is called mysqld starts another",
        prepare="ln -s {python} {scratch}/mysqld",
        act="""{scratch}/mysqld -c 'import subprocess as s; p = s.Popen(["sleep", "0.2"]); \
print("actor=%d" % p.pid, flush=True); p.wait()'""",
    ),
    Action(
        name="PotentialLocalPrivilegeEscalationViaEnvironmentVariablesMisuse",
        rule="Potential Local Privilege Escalation via Environment Variables Misuse",
        idea="a program is started with GLIBC_TUNABLES in its environment",
        act="env GLIBC_TUNABLES=glibc.malloc.check=1 /bin/true",
    ),
    Action(
        name="DetectCryptoMinersUsingTheStratumProtocol",
        rule="Detect crypto miners using the Stratum protocol",
        idea="a command line names a mining pool by the Stratum protocol; nothing is contacted",
        needs="outside",
        act="/bin/echo -o stratum+tcp://pool.invalid:3333",
    ),
    Action(
        name="DecodingPayloadInContainer",
        rule="Decoding Payload in Container",
        idea="a payload is decoded with base64",
        prepare="echo aGVsbG8K >{scratch}/payload",
        act="base64 -d {scratch}/payload",
    ),
    Action(
        name="ScheduleCronJobs",
        rule="Schedule Cron Jobs",
        idea="a job is added below /etc/cron.d",
        prepare="mkdir -p /etc/cron.d",
        settle_s=0.5,
        act="cp /dev/null /etc/cron.d/outrider",
        undo="rm -f /etc/cron.d/outrider",
    ),
    Action(
        name="PolkitLocalPrivilegeEscalationVulnerabilityCVE20214034",
        rule="Polkit Local Privilege Escalation Vulnerability (CVE-2021-4034)",
        idea="a program called pkexec is started with no arguments at all, not even its name",
        prepare="ln -s /bin/true {scratch}/pkexec",
        act="""{python} -c 'import ctypes, os; ctypes.CDLL(None).execve(b"{scratch}/pkexec", None, None)'""",
    ),
    Action(
        name="SudoPotentialPrivilegeEscalation",
        rule="Sudo Potential Privilege Escalation",
        idea="a program called sudoedit is given -s and a lone backslash (CVE-2021-3156)",
        prepare="ln -s /bin/echo {scratch}/sudoedit",
        act="{scratch}/sudoedit -s '\\'",
    ),
    Action(
        name="KubernetesClientToolLaunchedInContainer",
        rule="Kubernetes Client Tool Launched in Container",
        idea="a program called kubectl is started",
        prepare="ln -s /bin/true {scratch}/kubectl",
        act="{scratch}/kubectl version",
    ),
    Action(
        name="LaunchPackageManagementProcessInContainer",
        rule="Launch Package Management Process in Container",
        idea="apt-get is started, and only asked for its version",
        act="apt-get --version",
        tools=("apt-get",),
    ),
    Action(
        name="RemoveBulkDataFromDisk",
        rule="Remove Bulk Data from Disk",
        idea="a file of our own is shredded",
        prepare="echo secret >{scratch}/file",
        act="shred -u {scratch}/file",
        tools=("shred",),
    ),
    Action(
        name="DebugfsLaunchedInPrivilegedContainer",
        rule="Debugfs Launched in Privileged Container",
        idea="debugfs in a privileged container",
        needs="SYS_ADMIN",
        blind="no container of a Fargate task is privileged",
    ),
    Action(
        name="MountLaunchedInPrivilegedContainer",
        rule="Mount Launched in Privileged Container",
        idea="mount(8) in a privileged container",
        needs="SYS_ADMIN",
        blind="no container of a Fargate task is privileged",
    ),
    Action(
        name="UserMgmtBinaries",
        rule="User mgmt binaries",
        idea="a program called vipw on the host",
        needs="host",
        blind="the rule is of processes outside any container, which a task does not have",
    ),
)
