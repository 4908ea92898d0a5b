"""`python -m outrider_collector.lake`: the lake's own process; the collector starts it."""

import sys

from outrider_collector.lake.child import main

sys.exit(main())
