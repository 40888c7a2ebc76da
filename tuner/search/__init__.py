"""Searches: tuners that need no training."""
