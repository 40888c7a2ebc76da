"""The comparison of tuners: cases, runs, statistics and the report."""
