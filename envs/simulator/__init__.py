"""The board model: pure, batched arithmetic from configurations to throughput, latency and power.

From the numbers up: `machine` (the rates of a device), `parameter_table` and `parameters` (what is
fitted or uncertain), `gpu_kernels` and `roofline` (one batch alone), `tables` (the costs of all
tenants, positions and batch sizes), `in_service` and `sharing` (instances beside each other) and
`response` (the answer). Open loops queue in `arrivals`, by way of `batching`, `balance` and
`latency`.
`device_model` joins it all for one device and its networks, and `known_devices` does so for the
device of a space; `window`, `window_noise` and `thermal` make it a device that is measured over
time.
"""
