"""HTTP: connections and their limits, the routes, keys, health, start and stop."""
