"""The command line: `vecdb COMMAND DIR [COLLECTION] ...`."""
