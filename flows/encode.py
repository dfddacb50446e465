"""The `encode` stage as a Prefect flow: `python -m flows.encode`."""

from flows._stage import main

if __name__ == "__main__":
    main("encode")
