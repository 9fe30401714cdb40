"""Run the command line with ``python -m supalab``."""

import sys

from supalab.cli import main

sys.exit(main())
