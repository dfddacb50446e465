"""The `vocab` stage as a Prefect flow: `python -m flows.vocab`."""

from flows._stage import main

if __name__ == "__main__":
    main("vocab")
