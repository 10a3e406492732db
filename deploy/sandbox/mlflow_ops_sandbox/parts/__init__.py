"""The parts that a sandbox is made of: each one's process, its address and its secrets."""
