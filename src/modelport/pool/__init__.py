"""Worker processes: how many there are, what each is doing, and what waits for one."""
