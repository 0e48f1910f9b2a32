"""DEEPaaS's own API, version 2."""
