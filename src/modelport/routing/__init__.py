"""Which model answers a request, where that is not said: shares, copies, graphs."""
