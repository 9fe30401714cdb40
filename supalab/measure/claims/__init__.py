"""The article's claims on trial: ``data/claims.csv`` goes in, every claim with a verdict and its figures comes out.

``catalogue`` reads the claims, ``experiments``, ``tries`` and ``production`` say what is measured, ``evidence`` is what
that found, the ``rules_*`` judge it, ``ledger`` is the result and ``run`` does all of it.
"""
