"""The `evaluate` stage as a Prefect flow: `python -m flows.evaluate`."""

from flows._stage import main

if __name__ == "__main__":
    main("evaluate")
