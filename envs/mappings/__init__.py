"""Layers of a network on several accelerators: what each mapping costs, and which are worth it."""
