"""XLA's flags by which programs compile in half the time: few of them run for long."""

import importlib.metadata

QUICKLY = "--xla_backend_optimization_level=0"
if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones abort at it
    QUICKLY += " --xla_cpu_use_fusion_emitters=false"
