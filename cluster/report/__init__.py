"""The report on a placement: nodes as bars, applications as colours, and what is late."""
