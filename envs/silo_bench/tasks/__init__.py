"""The thirty tasks, one file each."""
