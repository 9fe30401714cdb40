"""One module per rung of the ladder, from fake async to the client you would ship; all have the same methods."""
