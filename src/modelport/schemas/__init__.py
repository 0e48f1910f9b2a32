"""Messages that a platform's contract and its protocol both read: one table for two that never import each other."""
