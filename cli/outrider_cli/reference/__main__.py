"""Write the pages: `python -m outrider_cli.reference [FOLDER]`, by default into docs/."""

import sys
from pathlib import Path

from outrider_cli.reference import PAGES

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, make in PAGES.items():
        (folder / name).write_text(make())
        print(folder / name)
