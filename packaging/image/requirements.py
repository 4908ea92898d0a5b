"""Print what the bare install requires, one a line, from pyproject.toml: `python3 requirements.py pyproject.toml`."""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    print(*tomllib.loads(Path(sys.argv[1]).read_text())["project"]["dependencies"], sep="\n")
