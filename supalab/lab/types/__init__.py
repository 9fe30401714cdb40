"""PostgreSQL's types and patterns in Python: text flows in, values or its own errors flow out. Pure."""
