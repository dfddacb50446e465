"""The `curate` stage as a Prefect flow: `python -m flows.curate`."""

from flows._stage import main

if __name__ == "__main__":
    main("curate")
