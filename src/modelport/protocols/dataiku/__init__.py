"""The user API of the Dataiku API node."""
