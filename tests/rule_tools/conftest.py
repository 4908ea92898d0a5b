"""Rule files beside transcripts, and the command line as a function."""

from collections.abc import Callable
from pathlib import Path

import pytest

from outrider_cli.main import main

RULES = """\
- rule: Shell Below A Web Server
  desc: d
  priority: WARNING
  output: "shell (command=%proc.cmdline)"
  condition: evt.type = execve and proc.name in (sh, bash) and proc.aname in (nginx)
- rule: Odd Port
  desc: d
  priority: NOTICE
  finding: Network:Runtime/OddPort
  output: "connection (%fd.name)"
  condition: evt.type = connect and fd.sport = 4444 and proc.name = sh
- rule: Written Crontab
  desc: d
  priority: NOTICE
  output: "%fd.name"
  condition: fd.name = /etc/crontab and evt.is_open_write = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `rules.yaml`."""
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path


@pytest.fixture
def outrider(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command; exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
