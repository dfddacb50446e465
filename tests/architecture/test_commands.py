"""Which commands the documents have, and that none is left out of what types them out."""

from __future__ import annotations

from tests.documents.extract import Command, all_commands, commands_in
from tests.documents.table import TABLE, entry_of, executed

DOCUMENT = """\
Type `make run`, not `data/08_chat` or `evaluate`.

```
git clone <x> polylm && cd polylm
make run # all of it
```

```yaml
seed: 1
```

```
 data/00_sources -> ingest
```

```python
print(1)
```

or, on Debian:

    sudo apt-get install apertium
    apertium -l

| `polylm plan R --profile P` | `dvc repro
mix` |
"""


def test_the_commands_of_a_document_are_found() -> None:
    found = list(commands_in("a.md", DOCUMENT))
    assert found == [
        Command("a.md", "git clone <x> polylm && cd polylm\nmake run # all of it"),
        Command("a.md", "print(1)", is_program=True),
        Command("a.md", "sudo apt-get install apertium\napertium -l"),
        Command("a.md", "make run"),
        Command("a.md", "polylm plan R --profile P"),
        Command("a.md", "dvc repro mix"),
    ]


def test_placeholders_are_filled_in() -> None:
    command = Command("a.md", "polylm plan R --profile P")
    assert executed(command) == "polylm plan polylm-13b --profile 32x8-a100"


def test_no_entry_is_of_a_command_that_no_document_has() -> None:
    used = [entry_of(command) for command in all_commands()]
    idle = [key for key, entry in TABLE.items() if not any(entry is each for each in used)]
    assert idle == []


def test_what_is_executed_otherwise_says_why() -> None:
    assert all(entry.why for entry in TABLE.values())
