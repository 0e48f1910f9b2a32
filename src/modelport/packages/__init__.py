"""Models on disk: how they are found and described before anything of them runs."""
