"""The clients of the course, from fake async to the one you would ship; all have the same methods."""
