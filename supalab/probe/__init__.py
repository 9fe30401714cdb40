"""Find out what a client really is: observe what waits while its requests are in flight.

``subject`` turns the argument into a call; ``run`` makes calls while ``look`` watches the process; ``seen`` contains
the counts; ``judge`` decides; ``verdict`` presents the result in words and tables.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from supalab.probe.run import probe
from supalab.probe.verdict import VERDICT, Evidence, Verdict

__all__ = ["VERDICT", "Evidence", "Verdict", "probe"]


class _Callable(ModuleType):
    """Makes this module callable: after any import of it, ``from supalab import probe`` gives the module."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return probe(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
