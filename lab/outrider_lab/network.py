"""The lab's network: a namespace of the lab and those of its tasks, joined by veth pairs, and no way out of them.

Facts that shape this file:

- The lab's namespace has no uplink. Whatever a task sends ends there, whatever address it is sent to.
- An address on `lo` is answered for on every link (arp_ignore is 0), so that 169.254.170.2/32 and the attackers'
  addresses need no link of their own: the task has a route to each over its one interface, as in an awsvpc task.
- A container instance has a bridge in the place of the one link; each task or container has an address of its own.
- A `local` route (AnyIP) for the range that the name server answers with makes every connection to an answer be
  refused at once, where an address of nobody would hang until a timeout.
- A network namespace lives as long as a process in it or a bind mount of it. The bind mount here lies on the
  lab's own tmpfs in the lab's own mount namespace, so it goes when the supervisor goes.
- `ip netns` is of no use for that: it leaves a name under /run/netns of the machine.

Addresses are of the ranges kept for documentation (RFC 5737, RFC 3849), but for the metadata endpoint's.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

from outrider_lab.namespaces import CLONE_NEWNET, bind_mount, entered, unshare
from outrider_wire.errors import Unavailable

METADATA_ADDRESS: Final = "169.254.170.2"
METADATA_PORT: Final = 80
METADATA_URL: Final = f"http://{METADATA_ADDRESS}"
INSTANCE_METADATA_ADDRESS: Final = "169.254.169.254"
"""EC2's metadata service, which a Fargate task does not have: the lab has nobody there, and refuses."""
TASK_ADDRESS: Final = "203.0.113.10"
TASK_ADDRESS_6: Final = "2001:db8:a::10"
GATEWAY: Final = "203.0.113.1"
GATEWAY_6: Final = "2001:db8:a::1"
NAME_SERVER: Final = "203.0.113.2"
COLLECTOR_ADDRESS: Final = "203.0.113.3"
COLLECTOR_PORT: Final = 8443
ATTACKER_ADDRESS: Final = "198.51.100.7"
ATTACKER_ADDRESS_6: Final = "2001:db8:bad::7"
ANSWERS: Final = "192.0.2.0/24"
LINK: Final = "eth0"
"""The task's interface, named as Fargate names it (there it is eth1 on some platforms)."""

LAB_LINK: Final = "lab0"
"""The lab's end of the link to its task, or the bridge to all of them."""
FIRST_NUMBER: Final = 10
LAST_NUMBER: Final = 250
"""The last part of the addresses of tasks."""

_LAB_SIDE: Final = f"""
link set lo up
address add {METADATA_ADDRESS}/32 dev lo
address add {ATTACKER_ADDRESS}/32 dev lo
address add {INSTANCE_METADATA_ADDRESS}/32 dev lo
route add local {ANSWERS} dev lo
link add {LAB_LINK} type {{link}}
link set {LAB_LINK} up
address add {GATEWAY}/24 dev {LAB_LINK}
address add {NAME_SERVER}/24 dev {LAB_LINK}
address add {COLLECTOR_ADDRESS}/24 dev {LAB_LINK}
"""
_PORT: Final = f"""
link add {{port}} type veth peer name {LINK} netns {{task}}
link set {{port}} master {LAB_LINK} up
"""
_LEAVE: Final = "link delete {port}\n"
_TASK_SIDE: Final = f"""
link set lo up
link set {LINK} up
address add {{address}}/24 dev {LINK}
route add {METADATA_ADDRESS}/32 dev {LINK}
route add {INSTANCE_METADATA_ADDRESS}/32 dev {LINK}
route add 198.51.100.0/24 via {GATEWAY} dev {LINK}
route add {ANSWERS} via {GATEWAY} dev {LINK}
"""
_LAB_SIDE_6: Final = f"""
address add {ATTACKER_ADDRESS_6}/128 dev lo nodad
address add {GATEWAY_6}/64 dev {LAB_LINK} nodad
"""
_TASK_SIDE_6: Final = f"""
address add {{address}}/64 dev {LINK} nodad
route add 2001:db8:bad::/64 via {GATEWAY_6} dev {LINK}
"""


def make_task_namespace(at: Path) -> None:
    """Make a network namespace that the file `at` keeps alive; the caller stays in its own."""
    at.touch()
    with entered("/proc/self/ns/net", CLONE_NEWNET):
        unshare(CLONE_NEWNET)
        bind_mount("/proc/thread-self/ns/net", str(at))


def connect_task(at: Path) -> None:
    """Join the caller's network namespace with the one at `at`, and give both their addresses."""
    _lay_lab_side(f"veth peer name {LINK} netns {at}")
    _lay_task_side(at, TASK_ADDRESS, TASK_ADDRESS_6)


def lay_bridge() -> None:
    """Give the caller's network namespace its addresses, and a bridge that tasks can be joined to."""
    _lay_lab_side("bridge")


def join_bridge(at: Path, number: int) -> None:
    """Join the namespace at `at` to the bridge, with the addresses of this number."""
    _run_ip(_PORT.format(port=_port(number), task=at), "join a task to the lab's bridge")
    _lay_task_side(at, address_of(number), f"2001:db8:a::{number}")


def leave_bridge(number: int) -> None:
    """Take the link away at once: with its namespace it would go some time after that has no user any more."""
    _run_ip(_LEAVE.format(port=_port(number)), "take a task off the lab's bridge", required=False)


def _port(number: int) -> str:
    return f"task{number}"


def address_of(number: int) -> str:
    """The address of a task on the bridge."""
    return f"203.0.113.{number}"


def _lay_lab_side(link: str) -> None:
    _run_ip(_LAB_SIDE.format(link=link), "set up the lab's network")
    if _has_ipv6():
        _run_ip(_LAB_SIDE_6, "set up the lab's IPv6", required=False)


def _lay_task_side(at: Path, address: str, address_6: str) -> None:
    with entered(str(at), CLONE_NEWNET):
        _run_ip(_TASK_SIDE.format(address=address), "set up the task's network")
        if _has_ipv6():
            _run_ip(_TASK_SIDE_6.format(address=address_6), "set up the task's IPv6", required=False)


def _has_ipv6() -> bool:
    return os.path.exists("/proc/net/if_inet6")


def _run_ip(script: str, what: str, *, required: bool = True) -> None:
    done = subprocess.run(["ip", "-force", "-batch", "-"], input=script.encode(), capture_output=True, check=False)
    if done.returncode and required:
        said = done.stderr.decode("utf-8", "backslashreplace").strip()
        raise Unavailable(f"could not {what}: {said}", "a kernel with veth, and the package iproute2")
