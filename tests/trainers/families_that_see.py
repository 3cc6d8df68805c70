"""Tiny random checkpoints that read pictures: model, tokenizer with the family's marks, and its own processor."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from tests.trainers.families_with_eyes import EXPERTS, EYES, LINEAR, PIXTRAL, QWEN_EYES, SETTINGS, TEXT, TURNING

PLAIN_EYES = {**EYES, "image_size": 28, "patch_size": 14}


class Seeing(NamedTuple):
    """What a family's checkpoint is made of."""

    config: dict[str, Any]
    """What its configuration class is called with, beside token ids."""
    marks: dict[str, str]
    """Names that the tokenizer knows its special tokens by -> the tokens."""
    others: tuple[str, ...]
    """More special tokens that its processor writes."""
    ids: dict[str, str]
    """Field of the config -> the token whose id it holds."""
    shown: str
    """What its chat template writes for a picture."""
    processor: dict[str, Any]
    """processor_config.json."""
    faint: tuple[tuple[str, float], ...] = ()
    """Weights that are too small at random for a colour to come through, and by what they are multiplied."""


def _pixels(kind: str, **more: Any) -> dict[str, Any]:
    return {"image_processor_type": kind, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **more}


def _qwen3(text: dict[str, Any]) -> Seeing:
    """Qwen's eyes since Qwen3-VL: patches of 16, and what early layers see is added to the words' layers."""
    return FAMILIES["qwen2_5_vl"]._replace(
        config={"text_config": {**TEXT, **text}, "vision_config": {**QWEN_EYES, "patch_size": 16}},
        faint=(),
        processor={
            "processor_class": "Qwen3VLProcessor",
            "image_processor": _pixels(
                "Qwen2VLImageProcessor",
                size={"shortest_edge": 32 * 32, "longest_edge": 4 * 64 * 64},
                patch_size=16,
                merge_size=2,
                temporal_patch_size=2,
            ),
        },
    )


FAMILIES: dict[str, Seeing] = {
    "gemma3": Seeing(
        {
            "text_config": {**TEXT, "sliding_window": 64},
            "vision_config": PLAIN_EYES,
            "mm_tokens_per_image": 4,
        },
        {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        (),
        {
            "boi_token_index": "<start_of_image>",
            "eoi_token_index": "<end_of_image>",
            "image_token_index": "<image_soft_token>",
            "image_token_id": "<image_soft_token>",
            "boi_token_id": "<start_of_image>",
            "eoi_token_id": "<end_of_image>",
        },
        "<start_of_image>",
        {
            "processor_class": "Gemma3Processor",
            "image_seq_length": 4,
            "image_processor": _pixels("Gemma3ImageProcessor", size={"height": 28, "width": 28}),
        },
    ),
    "llava": Seeing(
        {
            "text_config": {"model_type": "llama", **TEXT},
            "vision_config": {"model_type": "clip_vision_model", **PLAIN_EYES, "projection_dim": 32},
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
            "image_seq_length": 4,
        },
        {"image_token": "<image>"},
        (),
        {"image_token_index": "<image>", "image_token_id": "<image>"},
        "<image>\n",
        {
            "processor_class": "LlavaProcessor",
            "patch_size": 14,
            "num_additional_image_tokens": 1,
            "vision_feature_select_strategy": "default",
            "image_processor": _pixels(
                "CLIPImageProcessor", size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
            ),
        },
    ),
    "qwen2_5_vl": Seeing(
        {"text_config": {**TEXT, **TURNING}, "vision_config": QWEN_EYES},
        {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        ("<|vision_start|>", "<|vision_end|>"),
        {
            "image_token_id": "<|image_pad|>",
            "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>",
            "vision_end_token_id": "<|vision_end|>",
        },
        "<|vision_start|><|image_pad|><|vision_end|>",
        {
            "processor_class": "Qwen2_5_VLProcessor",
            "image_processor": _pixels(
                "Qwen2VLImageProcessor",
                size={"shortest_edge": 28 * 28, "longest_edge": 4 * 56 * 56},
                patch_size=14,
                merge_size=2,
                temporal_patch_size=2,
            ),
        },
        (("merger.mlp.2", 4.0),),
    ),
    "idefics3": Seeing(
        {
            "text_config": {"model_type": "llama", **TEXT},
            "vision_config": {**EYES, "model_type": "idefics3_vision", "image_size": 28},
            "scale_factor": 2,
        },
        {
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
            "video_token": "<video>",
        },
        tuple(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
        {"image_token_id": "<image>"},
        "<image>",
        {
            "processor_class": "Idefics3Processor",
            "image_seq_len": 1,
            "image_processor": _pixels(
                "Idefics3ImageProcessor",
                size={"longest_edge": 56},
                max_image_size={"longest_edge": 28},
                do_image_splitting=True,
            ),
        },
    ),
}

FAMILIES |= {
    "qwen3_vl": _qwen3(TURNING),
    "qwen3_5": _qwen3(LINEAR),
    "gemma4": Seeing(
        {
            "text_config": SETTINGS["gemma4"]["text_config"],
            "vision_config": {
                **EYES,
                "patch_size": 8,
                "head_dim": 16,
                "num_key_value_heads": 2,
                "pooling_kernel_size": 2,
            },
        },
        {
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "image_token": "<|image|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
            "audio_token": "<|audio|>",
        },
        ("<|video|>",),
        {"boi_token_id": "<|image>", "eoi_token_id": "<image|>", "image_token_id": "<|image|>"},
        "<|image|>",
        {
            "processor_class": "Gemma4Processor",
            "image_processor": _pixels(
                "Gemma4ImageProcessor", patch_size=8, pooling_kernel_size=2, max_soft_tokens=70
            ),
        },
        (("patch_embedder.input_proj", 8.0),),
    ),
    "internvl": Seeing(
        {
            "text_config": {"model_type": "qwen2", **TEXT},
            "vision_config": {**EYES, "image_size": [28, 28], "patch_size": [14, 14]},
            "image_seq_length": 1,
        },
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        (),
        {"image_token_id": "<IMG_CONTEXT>"},
        "<IMG_CONTEXT>\n",
        {
            "processor_class": "InternVLProcessor",
            "image_seq_length": 1,
            "image_processor": _pixels("GotOcr2ImageProcessor", size={"height": 28, "width": 28}, max_patches=4),
        },
    ),
    "glm4v": Seeing(
        {"text_config": {**TEXT, **TURNING}, "vision_config": QWEN_EYES},
        {"image_token": "<|image|>", "video_token": "<|video|>"},
        ("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
        {
            "image_token_id": "<|image|>",
            "video_token_id": "<|video|>",
            "image_start_token_id": "<|begin_of_image|>",
            "image_end_token_id": "<|end_of_image|>",
            "video_start_token_id": "<|begin_of_video|>",
            "video_end_token_id": "<|end_of_video|>",
        },
        "<|begin_of_image|><|image|><|end_of_image|>",
        {
            "processor_class": "Glm4vProcessor",
            "image_processor": _pixels(
                "Glm4vImageProcessor",
                size={"shortest_edge": 2 * 28 * 28, "longest_edge": 8 * 56 * 56},
                patch_size=14,
                merge_size=2,
                temporal_patch_size=2,
            ),
        },
        (("merger.down_proj", 30.0),),
    ),
    "mistral3": Seeing(
        {
            "text_config": {"model_type": "mistral", **TEXT},
            "vision_config": {"model_type": "pixtral", **EYES, "image_size": 112, "head_dim": 16},
            "spatial_merge_size": 2,
            "vision_feature_layer": -1,
        },
        {},
        ("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
        {"image_token_index": "[IMG]", "image_token_id": "[IMG]"},
        "[IMG]",
        {
            "processor_class": "PixtralProcessor",
            "patch_size": 14,
            "spatial_merge_size": 2,
            "image_processor": _pixels("PixtralImageProcessor", size={"longest_edge": 112}, patch_size=14),
        },
    ),
}
FAMILIES["smolvlm"] = FAMILIES["idefics3"]._replace(
    config={**FAMILIES["idefics3"].config, "vision_config": {**EYES, "image_size": 28}},
    processor={
        **FAMILIES["idefics3"].processor,
        "processor_class": "SmolVLMProcessor",
        "image_processor": {
            **FAMILIES["idefics3"].processor["image_processor"],
            "image_processor_type": "SmolVLMImageProcessor",
        },
    },
)
FAMILIES |= {
    "glm46v": FAMILIES["glm4v"]._replace(
        config={**SETTINGS["glm46v"]},
        processor={
            "processor_class": "Glm46VProcessor",
            "image_processor": {
                **FAMILIES["glm4v"].processor["image_processor"],
                "image_processor_type": "Glm46VImageProcessor",
            },
        },
    ),
    "glm4v_moe": FAMILIES["glm4v"]._replace(config={**SETTINGS["glm4v_moe"]}),
    "llava+pixtral": FAMILIES["mistral3"]._replace(
        config={
            **SETTINGS["llava"],
            "vision_config": {**PIXTRAL, "image_size": 112},
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        },
        processor={
            "processor_class": "PixtralProcessor",
            "patch_size": 14,
            "image_processor": _pixels("PixtralImageProcessor", size={"longest_edge": 112}, patch_size=14),
        },
    ),
    "qwen2_vl": FAMILIES["qwen2_5_vl"]._replace(
        config={**SETTINGS["qwen2_vl"]},
        processor={**FAMILIES["qwen2_5_vl"].processor, "processor_class": "Qwen2VLProcessor"},
    ),
    "qwen3_5_moe": _qwen3({**LINEAR, **EXPERTS}),
    "qwen3_vl_moe": _qwen3({**TURNING, **EXPERTS}),
}
NEEDS = {"llava+pixtral": "torchvision", "mistral3": "torchvision", "smolvlm": "num2words"}
"""Family -> a package that its processor asks for, and that tests do without."""


def template(shown: str) -> str:
    """ChatML for words, and for parts with pictures among them."""
    return (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
        "{% if part['type'] == 'image' %}{{ '" + shown.replace("\n", "\\n") + "' }}"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


def build(family: str, tokenizer_of: Path, folder: Path) -> Path:
    """A random checkpoint of this family in `folder`, in whose words the other's tokenizer speaks."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from trainers.methods.towers import auto_class

    seeing = FAMILIES[family]
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_of), extra_special_tokens=seeing.marks)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": list(seeing.others)}, replace_extra_special_tokens=False
    )
    tokenizer.chat_template = template(seeing.shown)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))
    stated = {key: dict(value) if isinstance(value, dict) else value for key, value in seeing.config.items()}
    stated["text_config"] |= {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    ids = {field: tokenizer.convert_tokens_to_ids(token) for field, token in seeing.ids.items()}
    config = AutoConfig.for_model(family.partition("+")[0], **stated, **ids, tie_word_embeddings=False)
    torch.manual_seed(0)
    model = auto_class(config).from_config(config).float()
    model.get_output_embeddings().weight.data *= 8  # else no adapter could make one word likelier than the others
    projector = getattr(model.model, "multi_modal_projector", None)
    if projector is not None and hasattr(projector, "mm_input_projection_weight"):
        torch.nn.init.normal_(projector.mm_input_projection_weight, std=0.2)  # zeros, until it is trained
    for name, weight in model.named_parameters():
        weight.data *= math.prod(factor for part, factor in seeing.faint if part in name)
    model.save_pretrained(str(folder))
    (folder / "processor_config.json").write_text(json.dumps(seeing.processor))
    return folder


COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
SIZES = ((40, 40), (60, 40))


def picture(colour: str, shade: int = 0, size: tuple[int, int] = (40, 40)) -> Any:
    """A picture of nothing but this colour, in one of many shades."""
    from PIL import Image

    return Image.new("RGB", size, tuple(min(255, value + shade) for value in COLOURS[colour]))


def write_colours(folder: Path, rows: int = 48) -> Path:
    """The same question for the colour of each of as many pictures, which lie beside the rows. Only they tell it."""
    (folder / "pictures").mkdir(parents=True)
    lines = []
    for number in range(rows):
        colour = list(COLOURS)[number % 3]
        name = f"pictures/{number}.png"
        picture(colour, number, SIZES[number // 3 % 2]).save(folder / name)
        asked = [{"type": "image"}, {"type": "text", "text": "What colour is this?"}]
        said = [{"type": "text", "text": colour}]
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"images": [name], "messages": turns}))
    path = folder / "colours.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
