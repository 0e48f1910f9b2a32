"""The REST and gRPC APIs of a Seldon Core v1 component."""
