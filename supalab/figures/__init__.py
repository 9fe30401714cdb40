"""Figures of experiments that have not moved to the one engine yet."""
