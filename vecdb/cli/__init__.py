"""The command line: `vecdb COMMAND DIR [COLLECTION] ...`.

`app` puts the commands together and turns errors into one line and an exit code; `inspect`, `query` and `upkeep` hold
the commands; `options`, `ids` and `output` are what they share.
"""
