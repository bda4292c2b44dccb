"""Runs the command line as `python -m vecdb`."""

from vecdb.cli.start import main

if __name__ == "__main__":
    main()
