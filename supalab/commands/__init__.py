"""What each command does: parsed options flow in, output and an exit code flow out; ``supalab.cli`` lists them.

Heavy imports stand inside the functions, so that one command does not pay for another.
"""
