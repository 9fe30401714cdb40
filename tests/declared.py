"""The numbers that a trial can have, as ``data/reference/README.md`` describes them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "data" / "reference" / "README.md"
NUMBERS = dict(re.findall(r"^\| `([a-z]\w+)` \| (\w.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
assert len(NUMBERS) > 40
