"""A view beside a running command: read what it writes, keep the recent past, draw it."""
