"""The lab is a child process that behaves like a Supabase project; ``handle.Lab`` starts one and reads what it saw."""
