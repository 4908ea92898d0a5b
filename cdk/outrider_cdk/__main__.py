"""Write the committed documents: `python -m outrider_cdk [CHECKOUT]`, by default into the current folder."""

import sys
from pathlib import Path

from outrider_cdk.documents import DOCUMENTS

if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, make in DOCUMENTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(make())
        print(root / name)
