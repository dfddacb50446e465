"""The `ingest` stage as a Prefect flow: `python -m flows.ingest`."""

from flows._stage import main

if __name__ == "__main__":
    main("ingest")
