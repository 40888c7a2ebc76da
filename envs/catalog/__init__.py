"""Boards and networks as data, with a source for each number."""
