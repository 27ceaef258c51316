"""Dataflow flex templates: what their metadata says of the flags, and how one is launched."""
