"""What people look at: pages, tables and figures, each of one file, that ask the network for nothing."""
