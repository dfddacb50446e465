"""The `instruct` stage as a Prefect flow: `python -m flows.instruct`."""

from flows._stage import main

if __name__ == "__main__":
    main("instruct")
