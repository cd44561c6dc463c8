"""How hypothesis and torch run."""

import torch
from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# Networks this small only wait for each other on several threads.
torch.set_num_threads(1)
