"""Descriptions: device, network, workload, configuration space, objective and measurement."""
