"""Actions that talk to somebody: the lab's attacker stands for every outside name."""

from typing import Final

from outrider_lab.attacks.falco.action import Action
from outrider_lab.network import TASK_ADDRESS

ATTACKER_PORTS: Final = (443, 4091, 4094, 4096, 4097)
"""Where the lab's attacker answers, and says nothing."""

_LISTEN: Final = f"""
import socket, time
server = socket.create_server(("{TASK_ADDRESS}", 4090))
client = socket.create_connection(("{TASK_ADDRESS}", 4090))
peer, _ = server.accept()
time.sleep(0.4)
"""
_CONNECT: Final = """
import socket, time
client = socket.create_connection(("{host}", 4091))
time.sleep(0.2)
"""
_DATAGRAM: Final = """
import socket, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("{host}", 9993))
client.send(b"hello")
time.sleep(0.6)
"""
_CLASS: Final = """
import socket, threading
server = socket.create_server(("127.0.0.1", 4092))
client = socket.create_connection(("127.0.0.1", 4092))
peer, _ = server.accept()
peer.send(bytes.fromhex("cafebabe00000041"))
client.recv(8)
"""

NETWORK: Final = (
    Action(
        name="DisallowedSSHConnectionNonStandardPort",
        rule="Disallowed SSH Connection Non Standard Port",
        idea="ssh is sent to port 443",
        needs="outside",
        act="ssh -p 443 -o BatchMode=yes -o ConnectTimeout=2 nobody@{host} true",
        tools=("ssh",),
    ),
    Action(
        name="NetcatRemoteCodeExecutionInContainer",
        rule="Netcat Remote Code Execution in Container",
        idea="nc is told to give a program to whoever answers",
        needs="outside",
        act="nc -w 1 -e /bin/true {host} 4093",
        tools=("nc",),
    ),
    Action(
        name="ContactEC2InstanceMetadataServiceFromContainer",
        rule="Contact EC2 Instance Metadata Service From Container",
        idea="the EC2 metadata service is asked; the lab's network answers for it",
        needs="outside",
        act="curl -s -m 2 http://169.254.169.254/latest/meta-data/",
        tools=("curl",),
    ),
    Action(
        name="LaunchIngressRemoteFileCopyToolsInContainer",
        rule="Launch Ingress Remote File Copy Tools in Container",
        idea="wget is started against the lab's attacker",
        act="wget -q -T 1 -t 1 -O /dev/null http://{host}:4094/",
        tools=("wget",),
    ),
    Action(
        name="LaunchRemoteFileCopyToolsInContainer",
        rule="Launch Remote File Copy Tools in Container",
        idea="scp is started, and told nothing to copy",
        act="scp",
        tools=("scp",),
    ),
    Action(
        name="LaunchSuspiciousNetworkToolInContainer",
        rule="Launch Suspicious Network Tool in Container",
        idea="a program called nmap is started",
        needs="outside",
        prepare="ln -s /bin/echo {scratch}/nmap",
        act="{scratch}/nmap -sn {host}",
    ),
    Action(
        name="ProgramRunWithDisallowedHttpProxyEnv",
        rule="Program run with disallowed http proxy env",
        idea="curl is started with a proxy in its environment",
        needs="outside",
        act="env HTTP_PROXY=http://{host}:4095 curl -s -m 1 http://{host}:4096/",
        tools=("curl",),
    ),
    Action(
        name="SystemProcsNetworkActivity",
        rule="System procs network activity",
        idea="a shell opens a connection",
        act="bash -c 'exec 3<>/dev/tcp/{host}/4097; sleep 0.2'",
        tools=("bash",),
    ),
    Action(
        name="UnexpectedUDPTraffic",
        rule="Unexpected UDP Traffic",
        idea="a datagram is sent to a port that is not expected",
        needs="outside",
        act=f"{{python}} -c '{_DATAGRAM}'",
    ),
    Action(
        name="InterpretedProcsInboundNetworkActivity",
        rule="Interpreted procs inbound network activity",
        idea="an interpreter listens and accepts a connection",
        act=f"{{python}} -c '{_LISTEN}'",
    ),
    Action(
        name="InterpretedProcsOutboundNetworkActivity",
        rule="Interpreted procs outbound network activity",
        idea="an interpreter opens a connection",
        act=f"{{python}} -c '{_CONNECT}'",
    ),
    Action(
        name="JavaProcessClassFileDownload",
        rule="Java Process Class File Download",
        idea="a program called java receives a class file over loopback",
        prepare="ln -s {python} {scratch}/java",
        act=f"{{scratch}}/java -c '{_CLASS}'",
        blind="the rule reads what is received (evt.buffer); the tap takes no payload",
    ),
    Action(
        name="LaunchSuspiciousNetworkToolOnHost",
        rule="Launch Suspicious Network Tool on Host",
        idea="nmap on the host",
        needs="host",
        blind="the rule is of processes outside any container, which a task does not have",
    ),
)
