"""The lab is a child process that behaves like a Supabase project; ``handle.Lab`` starts it and reads its counters."""
