"""Place applications on the nodes of a cluster: what fits, policies, and the exact answer."""
