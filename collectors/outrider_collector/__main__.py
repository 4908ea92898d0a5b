"""`python -m outrider_collector`: run the collector."""

import sys

from outrider_collector.cli import main

sys.exit(main(sys.argv[1:]))
