"""The contest agent: a small FastAPI service on one of the clients. Options flow in, a served address flows out.

``Agent`` (in ``handle.py``) runs it as a child process, ``create_app`` (in ``app.py``) makes it for a server of one's
own. Nothing is imported here, so that the child loads its own half only.
"""
