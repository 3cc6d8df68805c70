"""What each training process imports at its start, imported once for all that are forked from here.

Nothing is run: what is forked must find no thread and no random state of an earlier training.
"""

import bitsandbytes  # noqa: F401
import datasets  # noqa: F401
import peft  # noqa: F401
import torch._dynamo  # noqa: F401
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401
from trl import SFTConfig, SFTTrainer  # noqa: F401

from trainers.training import session  # noqa: F401
