"""Reference material by one command: recipes go in; records, pictures and tables in ``data/reference`` come out."""
