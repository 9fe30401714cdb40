"""Experiments: each is a plan of what to run, and what its record says in a headline, notes, tables and a figure."""
