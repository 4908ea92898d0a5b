"""Actions that make, change, link or delete files."""

from typing import Final

from outrider_lab.attacks.falco.action import Action

_HOME: Final = "/home/outrider-test"
_REMOVE_HOME: Final = f"rm -rf {_HOME}"
SETTLE_S: Final = 1.5
"""A new directory is watched long before, also where the watch goes through a large image at that moment."""


FILES: Final = (
    Action(
        name="ClearLogActivities",
        rule="Clear Log Activities",
        idea="a log is truncated",
        prepare="mkdir -p /var/log && echo line >/var/log/syslog.outrider && mkdir {scratch}/log"
        " && echo line >{scratch}/log/syslog",
        settle_s=SETTLE_S,
        act="cp /dev/null {scratch}/log/syslog",
        undo="rm -f /var/log/syslog.outrider",
    ),
    Action(
        name="AddingSshKeysToAuthorizedKeys",
        rule="Adding ssh keys to authorized_keys",
        idea="a key is added to a user's authorized_keys",
        prepare=f"mkdir -p {_HOME}/.ssh",
        settle_s=SETTLE_S,
        act=f"cp /dev/null {_HOME}/.ssh/authorized_keys",
        undo=_REMOVE_HOME,
    ),
    Action(
        name="CreateFilesBelowDev",
        rule="Create files below dev",
        idea="a file is made in /dev",
        act="touch /dev/outrider-file",
        undo="rm -f /dev/outrider-file",
    ),
    Action(
        name="DeleteOrRenameShellHistory",
        rule="Delete or rename shell history",
        idea="a shell's history is deleted",
        prepare=f"mkdir -p {_HOME} && echo ls >{_HOME}/.bash_history",
        settle_s=SETTLE_S,
        act=f"rm {_HOME}/.bash_history",
        undo=_REMOVE_HOME,
    ),
    Action(
        name="ModifyShellConfigurationFile",
        rule="Modify Shell Configuration File",
        idea="a shell's start-up file is written by a program that is no shell",
        prepare=f"mkdir -p {_HOME}",
        settle_s=SETTLE_S,
        act=f"cp /dev/null {_HOME}/.bashrc",
        undo=_REMOVE_HOME,
    ),
    Action(
        name="SetSetuidOrSetgidBit",
        rule="Set Setuid or Setgid bit",
        idea="a file of our own gets the set-user-id bit",
        prepare="touch {scratch}/file",
        settle_s=SETTLE_S,
        act="chmod u+s {scratch}/file",
    ),
    Action(
        name="ContainerDriftDetectedChmod",
        rule="Container Drift Detected (chmod)",
        idea="a new file is made executable",
        prepare="touch {scratch}/file",
        settle_s=SETTLE_S,
        act="chmod 755 {scratch}/file",
    ),
    Action(
        name="ContainerDriftDetectedOpenCreate",
        rule="Container Drift Detected (open+create)",
        idea="a file is made, and is executable from the start",
        settle_s=SETTLE_S,
        act="cp /bin/true {scratch}/created",
    ),
    Action(
        name="CreateHiddenFilesOrDirectories",
        rule="Create Hidden Files or Directories",
        idea="a file is made whose name begins with a dot",
        settle_s=SETTLE_S,
        act="touch {scratch}/.hidden",
    ),
    Action(
        name="MkdirBinaryDirs",
        rule="Mkdir binary dirs",
        idea="a directory is made among the system's programs",
        act="mkdir /usr/bin/outrider-directory",
        undo="rmdir /usr/bin/outrider-directory",
    ),
    Action(
        name="ModifyBinaryDirs",
        rule="Modify binary dirs",
        idea="a file among the system's programs is renamed; it is our own",
        prepare="touch /usr/bin/outrider-a",
        settle_s=SETTLE_S,
        act="mv /usr/bin/outrider-a /usr/bin/outrider-b",
        undo="rm -f /usr/bin/outrider-a /usr/bin/outrider-b",
    ),
    Action(
        name="WriteBelowBinaryDir",
        rule="Write below binary dir",
        idea="a file is made among the system's programs",
        act="touch /usr/bin/outrider-file",
        undo="rm -f /usr/bin/outrider-file",
    ),
    Action(
        name="WriteBelowEtc",
        rule="Write below etc",
        idea="a file is made below /etc",
        act="touch /etc/outrider-file",
        undo="rm -f /etc/outrider-file",
    ),
    Action(
        name="WriteBelowMonitoredDir",
        rule="Write below monitored dir",
        idea="a file is made in a directory of locally added programs",
        act="touch /usr/local/bin/outrider-file",
        undo="rm -f /usr/local/bin/outrider-file",
    ),
    Action(
        name="WriteBelowRoot",
        rule="Write below root",
        idea="a file is made in the root directory",
        act="touch /outrider-file",
        undo="rm -f /outrider-file",
    ),
    Action(
        name="WriteBelowRpmDatabase",
        rule="Write below rpm database",
        idea="a file is made below the package database",
        prepare="made=; [ -d /var/lib/rpm ] || { mkdir -p /var/lib/rpm; made=1; }",
        settle_s=SETTLE_S,
        act="touch /var/lib/rpm/outrider-file",
        undo="rm -f /var/lib/rpm/outrider-file; [ -z $made ] || rmdir /var/lib/rpm",
    ),
    Action(
        name="CreateSymlinkOverSensitiveFiles",
        rule="Create Symlink Over Sensitive Files",
        idea="a symbolic link to /etc/shadow is made",
        settle_s=SETTLE_S,
        act="ln -s /etc/shadow {scratch}/symlink",
    ),
    Action(
        name="CreateHardlinkOverSensitiveFiles",
        rule="Create Hardlink Over Sensitive Files",
        idea="a second name is given to /etc/shadow",
        settle_s=SETTLE_S,
        act="ln /etc/shadow {scratch}/hardlink",
    ),
    Action(
        name="ModifyContainerEntrypoint",
        rule="Modify Container Entrypoint",
        idea="a process opens its own program for writing (CVE-2019-5736), which the kernel refuses",
        act="""{python} -c 'open("/proc/self/exe", "r+b")'""",
        blind="the open fails (ETXTBSY), and failed system calls are not seen; /proc is not watched",
    ),
    Action(
        name="DetectReleaseAgentFileContainerEscapes",
        rule="Detect release_agent File Container Escapes",
        idea="a cgroup's release_agent is written",
        needs="SYS_ADMIN",
        blind="no container of a Fargate task has SYS_ADMIN",
    ),
)
