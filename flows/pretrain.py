"""The `pretrain` stage as a Prefect flow: `python -m flows.pretrain`."""

from flows._stage import main

if __name__ == "__main__":
    main("pretrain")
