"""Commands that measure the project: `python -m benchmarks.results` runs all of them."""
