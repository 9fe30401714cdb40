"""PostgREST's API over a SQLite database in memory."""
