"""Runtimes, which apply a configuration to a device and measure it."""
