"""Clients that differ from a rung of the ladder in one thing each, so that the thing's share can be measured."""
