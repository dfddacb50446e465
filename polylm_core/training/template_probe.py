"""A chat template of others, tried where it can do no harm.

`transformers` renders templates in jinja's sandbox: they reach neither files nor modules, but they
may compute without end and fill the memory. A process of its own, with little time and little
memory, renders one first.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from polylm_core.errors import TrainingError

SECONDS = 1
"""Of processor time; a template renders in milliseconds."""
WALL_SECONDS = 30.0
MEMORY_BYTES = 1 << 29
HOSTILE, BROKEN = 3, 0
PROGRAM = f"""
import json, resource, sys
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
template = json.load(sys.stdin)
environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
)
environment.filters["tojson"] = json.dumps
used = resource.getrusage(resource.RUSAGE_SELF)
seconds = int(used.ru_utime + used.ru_stime) + {SECONDS}
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
chat = [{{"role": "user", "content": "Hello."}}]
try:
    environment.from_string(template).render(
        messages=chat, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
except (SecurityError, MemoryError, RecursionError):
    sys.exit({HOSTILE})
except Exception:
    sys.exit({BROKEN})  # it asks for what chats here may have: told when it is used
"""


def require_harmless(tokenizer: Any, folder: Path) -> None:
    """Raise TrainingError for a template that breaks out, or takes more time or memory than any."""
    found = tokenizer.chat_template
    for template in found.values() if isinstance(found, dict) else [found]:
        if template is not None and (why := _harm(str(template))):
            raise TrainingError(
                f"{folder / 'chat_template.jinja'}: the chat template of this model {why}; take it "
                "out, or take another model"
            )


def _harm(template: str) -> str:
    """Return what is wrong with a template; empty for a harmless one."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROGRAM],
            input=json.dumps(template),
            text=True,
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "does not come to an end"
    if done.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
        return f"takes more than {SECONDS} s of processor time"
    if done.returncode != 0:
        return "tries to break out of jinja's sandbox, or fills the memory"
    return ""
