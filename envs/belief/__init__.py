"""Beliefs about configurations that were not measured, and the features an agent sees."""
