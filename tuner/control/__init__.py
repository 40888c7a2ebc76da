"""Keep a device within its limits while it serves: the loop, its guard, monitors and journal."""
