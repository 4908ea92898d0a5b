"""The stock generator's actions in our own versions: named after the rule each is to trip, harmless, undone."""

from typing import Final

from outrider_lab.attacks.falco.action import Action
from outrider_lab.attacks.falco.credentials import CREDENTIALS
from outrider_lab.attacks.falco.execution import EXECUTION
from outrider_lab.attacks.falco.files import FILES
from outrider_lab.attacks.falco.kernel import KERNEL
from outrider_lab.attacks.falco.network import NETWORK

ACTIONS: Final[tuple[Action, ...]] = (*EXECUTION, *CREDENTIALS, *FILES, *NETWORK, *KERNEL)
"""All of them, by idea."""
