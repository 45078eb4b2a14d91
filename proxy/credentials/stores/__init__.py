"""Where tokens are kept across restarts: one contract, one file a kind of store."""
