"""``python -m kvwatch``: the same as the command ``kvwatch``."""

import sys

from kvwatch.cli import main

sys.exit(main())
