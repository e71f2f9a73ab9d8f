"""`python -m alignc`."""

from alignc.cli import main

if __name__ == "__main__":
    main()
