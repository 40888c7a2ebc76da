"""The page in the browser: what the terminal view shows, from a process of its own."""
