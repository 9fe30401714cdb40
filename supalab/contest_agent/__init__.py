"""The contest agent: a small FastAPI service that stands on one of the clients.

``Agent`` (in ``handle``) runs it as a child process, ``create_app`` (in ``app``) makes it for a server of one's own.
Nothing is imported here, so that the child loads its own half only.
"""
