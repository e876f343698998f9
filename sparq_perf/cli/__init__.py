"""The command line: each command parses, calls once, prints, and returns an exit code."""
