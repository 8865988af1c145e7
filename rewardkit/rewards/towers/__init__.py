"""The networks that reward models are made of: one file a kind, each the only user of its library for that kind."""
