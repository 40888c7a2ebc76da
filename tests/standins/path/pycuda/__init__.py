"""Take the place of pycuda in a child process."""
