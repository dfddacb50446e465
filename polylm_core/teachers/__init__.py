"""Who writes tasks: prompts in, answers out, whether a process or a service gives them."""
