"""Entry points: parse flags, call, return an exit code; nothing happens at import."""
