"""Which application goes to which node of a cluster: what fits, policies, and the exact answer."""
