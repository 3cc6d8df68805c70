"""What plain transformers says of a picture with a trained checkpoint and the processor in its folder.

python -m tests.trainers.pictures_read_plainly FOLDER PICTURE...
"""

import json
import sys
from typing import Any

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

ASKED = [{"type": "image"}, {"type": "text", "text": "What colour is this?"}]


def processor_of(folder: str) -> Any:
    try:
        return AutoProcessor.from_pretrained(folder)
    except (ImportError, OSError):  # its part for films, which no picture needs, asks for torchvision
        from tests.trainers.plans import full_plan
        from trainers.methods.processor import load_processor

        tokenizer = AutoTokenizer.from_pretrained(folder)
        return load_processor(full_plan(model={"name": folder}, reads_images=True), tokenizer)


def main(folder: str, *pictures: str) -> None:
    model, processor = (
        AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval(),
        processor_of(folder),
    )
    said = []
    for path in pictures:
        turns = [{"role": "user", "content": ASKED}]
        text = processor.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        inputs = processor(images=[Image.open(path)], text=[text], return_tensors="pt")
        made = model.generate(**inputs, max_new_tokens=8, do_sample=False, pad_token_id=0)
        said.append(processor.tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
