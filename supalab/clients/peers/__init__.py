"""Other people's clients, in the same race: the same reads of the same lab, each the way its users would write them.

They are no rungs of the ladder: all they can is ``select``. Each module imports its library, so an arm that nobody asks
for costs nothing and need not be installed.
"""
