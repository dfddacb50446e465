"""What is done: one folder a stage, each a plain function of (config, inputs, run).

Every folder has the same files: `config.py` (the stage's section of `params.yaml`) and `stage.py`
(the function named like the stage), with helpers of its own beside them.
"""
