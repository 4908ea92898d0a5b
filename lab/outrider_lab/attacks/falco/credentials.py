"""Actions that look for, or read, what should stay secret."""

from typing import Final

from outrider_lab.attacks.falco.action import Action

_OPEN_LATE: Final = "{scratch}/httpd -c 'import time; time.sleep(5.5); file = open(\"/etc/shadow\"); time.sleep(0.5)'"
_TRAVERSE: Final = """
import subprocess, time
paths = ["/var/../etc/../etc/shadow", "-"]
reader = subprocess.Popen(["cat", *paths], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
print("actor=%d" % reader.pid, flush=True)
time.sleep(0.2)
reader.communicate()
"""

CREDENTIALS: Final = (
    Action(
        name="FindAwsCredentials",
        rule="Find AWS Credentials",
        idea="find looks for AWS credentials, in a folder of our own",
        act="find {scratch} -path '*.aws/credentials'",
    ),
    Action(
        name="SearchPrivateKeysOrPasswords",
        rule="Search Private Keys or Passwords",
        idea="find looks for private keys, in a folder of our own",
        act="find {scratch} -name id_rsa",
    ),
    Action(
        name="ReadSensitiveFileUntrusted",
        rule="Read sensitive file untrusted",
        idea="/etc/shadow is read by a program that has no business there",
        act="cat /etc/shadow >/dev/null",
    ),
    Action(
        name="ReadSensitiveFileTrustedAfterStartup",
        rule="Read sensitive file trusted after startup",
        idea="a server, called httpd, reads /etc/shadow five seconds after it was started",
        prepare="ln -s {python} {scratch}/httpd",
        act=_OPEN_LATE,
    ),
    Action(
        name="DirectoryTraversalMonitoredFileRead",
        rule="Directory traversal monitored file read",
        idea="a file below /etc is read by a path that climbs twice, as a web server is made to",
        act=f"{{python}} -c '{_TRAVERSE}'",
    ),
    Action(
        name="ReadSshInformation",
        rule="Read ssh information",
        idea="a file in a user's .ssh folder is read by a program that is no part of ssh",
        prepare="mkdir -p /home/outrider-test/.ssh && echo key >/home/outrider-test/.ssh/known_hosts",
        settle_s=2.5,
        act="cat /home/outrider-test/.ssh/known_hosts",
        undo="rm -rf /home/outrider-test",
    ),
    Action(
        name="ReadShellConfigurationFile",
        rule="Read Shell Configuration File",
        idea="a shell's start-up file is read by a program that is no shell",
        act="cat /etc/profile >/dev/null",
    ),
    Action(
        name="ReadEnvironmentVariableFromProcFiles",
        rule="Read environment variable from /proc files",
        idea="the environment of another process is read",
        prepare="sleep 9 & victim=$!",
        act="cat /proc/1/environ >/dev/null",
        undo="kill $victim",
    ),
)
