"""The SSM Command document that installs, updates or removes Outrider on EC2 machines.

Schema 2.2 (AWS Systems Manager user guide, "Schemas, features, and examples"). A folder in S3 holds install.sh and the
wheels; SSM fetches it with the machine's own role, and the script does the rest without a network. Every parameter has
a pattern that lets no shell character through, because SSM pastes values into the script as text.
"""

from typing import Any, Final

Json = dict[str, Any]
"""Any: the content of an SSM document."""

FOLDER: Final = "/var/lib/amazon/ssm/outrider"
"""Where SSM puts what it fetched; root's alone, unlike /tmp."""

_TEXT: Final = "^[A-Za-z0-9:/._@%+=-]*$"
"""No quote, space, dollar, backtick, semicolon or newline: nothing a shell would take for more than text."""

SCRIPT: Final = (
    "set -eu",
    f"cd '{FOLDER}'",
    "case '{{ Action }}' in",
    "Install)",
    "    trap 'rm -f token' EXIT",
    "    set -- --wheels . --collector '{{ CollectorUrl }}'",
    "    if [ -n '{{ TokenParameter }}' ]; then",
    "        umask 077",
    "        aws ssm get-parameter --with-decryption --name '{{ TokenParameter }}' \\",
    "            --query Parameter.Value --output text >token",
    '        set -- "$@" --token-file token',
    "    fi",
    '    bash ./install.sh "$@"',
    "    ;;",
    "Remove) bash ./install.sh --uninstall ;;",
    "Purge) bash ./install.sh --uninstall --purge ;;",
    "esac",
)
"""Run by root on the machine. `Purge` takes the settings and the journal away, too."""


def document() -> Json:
    """Content for CreateDocument (DocumentType Command, TargetType /AWS::EC2::Instance)."""
    return {
        "schemaVersion": "2.2",
        "description": "Install, update or remove Outrider, a runtime guard for the containers of a machine.",
        "parameters": {
            "Action": {
                "type": "String",
                "description": "Install also updates. Remove keeps settings and journal, Purge does not.",
                "allowedValues": ["Install", "Remove", "Purge"],
                "default": "Install",
            },
            "Source": {
                "type": "String",
                "description": "(Required) https address of the S3 folder with install.sh and the wheels.",
                "allowedPattern": "^https://[A-Za-z0-9:/._@%+=-]+/$",
            },
            "CollectorUrl": {
                "type": "String",
                "description": "Where batches go; empty keeps what the machine has.",
                "allowedPattern": _TEXT,
                "default": "",
            },
            "TokenParameter": {
                "type": "String",
                "description": "Name of the SecureString parameter with the bootstrap token; empty keeps what is.",
                "allowedPattern": _TEXT,
                "default": "",
            },
        },
        "mainSteps": [
            {
                "action": "aws:downloadContent",
                "name": "fetch",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "sourceType": "S3",
                    "sourceInfo": '{"path": "{{ Source }}"}',
                    "destinationPath": FOLDER,
                },
            },
            {
                "action": "aws:runShellScript",
                "name": "install",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {"timeoutSeconds": "600", "runCommand": list(SCRIPT)},
            },
        ],
    }
