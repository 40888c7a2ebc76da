"""Runtimes: what applies a configuration to a device and measures it."""
