"""Experiments in production: a service on each client meets a load, and its capacity and recoveries come out.

The service is ``contest_agent``, the backend the lab, the load ``supalab.load``: each a process of its own.
"""
