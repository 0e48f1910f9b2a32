"""The platform's protobuf messages and gRPC services."""
