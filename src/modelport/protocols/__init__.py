"""What is spoken on the wire, one folder a protocol."""
