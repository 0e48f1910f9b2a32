"""The REST API of a Seldon Core v1 component."""
