"""The `finetune` stage as a Prefect flow: `python -m flows.finetune`."""

from flows._stage import main

if __name__ == "__main__":
    main("finetune")
