"""Drawings of published networks, from which `envs/catalog/data/networks.json` is written."""
