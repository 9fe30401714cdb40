"""Measuring: arms and a workload go in, trials come out.

Empty on purpose: a worker imports this package before its memory baseline. Each name lives in the module that says
what it is (``trial``, ``burst``, ``race``, ``records``, ``summary``, ``table``, ``littles_law``).
"""
