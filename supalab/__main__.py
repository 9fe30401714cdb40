"""``python -m supalab`` is the command line too."""

import sys

from supalab.cli import main

sys.exit(main())
