"""The `mix` stage as a Prefect flow: `python -m flows.mix`."""

from flows._stage import main

if __name__ == "__main__":
    main("mix")
