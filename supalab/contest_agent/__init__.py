"""The contest agent: a small FastAPI service that uses one of the clients.

``Agent`` (in ``handle``) runs it as a child process, ``create_app`` (in ``app``) creates it for your own server.
This file imports nothing, so that the child process loads only what it needs.
"""
