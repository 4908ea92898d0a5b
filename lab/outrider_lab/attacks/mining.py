"""Mining pools: their names are asked for."""

from typing import Final

from outrider_lab.attacks.scenario import MINING_NAME, Scenario

MINING: Final = (
    Scenario(
        name="mining-name",
        idea="the resolver of the C library is asked for a mining pool",
        command="getent hosts xmr-eu1.nanopool.org",
        finding=MINING_NAME,
        expect="nanopool.org",
    ),
    Scenario(
        name="mining-name-python",
        idea="a program asks for a mining pool and connects to it",
        command=(
            "{python} -c 'import socket, time; s = socket.socket();"
            ' print(s.connect_ex((socket.gethostbyname("pool.supportxmr.com"), 3333))); time.sleep(0.2)\''
        ),
        finding=MINING_NAME,
    ),
)
