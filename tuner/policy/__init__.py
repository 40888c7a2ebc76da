"""The learned policy without torch: the bundle, its decision, and what it learns in service."""
