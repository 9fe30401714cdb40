"""Typed queries and writes flow in, SQL on SQLite runs, and answers in PostgREST's form flow out."""
