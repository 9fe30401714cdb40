"""PostgREST's dialect, read: URLs, headers and bodies flow in, typed queries and writes or a refusal flow out. Pure."""
