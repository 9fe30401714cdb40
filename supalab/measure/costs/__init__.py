"""What a client costs: memory in flight, event-loop lag, cancellation, the knee (``supalab costs``).

``parts`` lists them. Each has a measurement, a frozen result with a record's form, and sentences; they share a table.
Nothing is imported here, since workers load the few modules that run in them.
"""
