"""The `report` stage as a Prefect flow: `python -m flows.report`."""

from flows._stage import main

if __name__ == "__main__":
    main("report")
