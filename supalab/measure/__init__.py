"""Measure clients: run arms and other jobs, count and time their work, and keep the results.

This file is empty on purpose: a worker imports it before its memory baseline. Import each name from its module
(``case``, ``run``, ``record``, ``compare``, ``traffic``, ``littles_law``).
"""
