"""The probe: a client flows in, what it really is flows out, with the evidence.

``subject`` understands what was handed over → ``run`` asks it for requests while ``watch`` looks at ``threads``,
``sockets``, ``owners`` and the ``hook``'s news → ``seen`` → ``judge`` → ``words`` and ``evidence`` → ``verdict``.
"""

from __future__ import annotations

from supalab.measure.probe.run import probe, probed
from supalab.measure.probe.verdict import VERDICT, Evidence, Verdict

__all__ = ["VERDICT", "Evidence", "Verdict", "probe", "probed"]
