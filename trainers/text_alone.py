"""Model families that read images or sound and were seen to run on text alone.

A text-only batch reaches their language model and their head, and nothing else, so that towers and projectors can be
left out while an adapter trains. tests/trainers/methods/test_towers.py runs each family of the list and looks at
which modules were called.
"""

from __future__ import annotations

TEXT_ALONE: frozenset[str] = frozenset(
    (
        "aria",
        "cohere2_vision",
        "cosmos3_edge",
        "cosmos3_omni",
        "deepseek_vl",
        "deepseek_vl_hybrid",
        "dots3_note",
        "ernie4_5_vl_moe",
        "exaone4_5",
        "fuyu",
        "gemma3",
        "gemma4",
        "glm46v",
        "glm4v",
        "glm4v_moe",
        "glm_ocr",
        "got_ocr2",
        "granite_docling",
        "hyperclovax_vision_v2",
        "idefics2",
        "idefics3",
        "internvl",
        "janus",
        "kimi_k25",
        "lfm2_vl",
        "lighton_ocr",
        "llama4",
        "llava",
        "llava_next",
        "llava_next_video",
        "llava_onevision",
        "minimax_m3_vl",
        "mistral3",
        "mistral_large4",
        "molmo2",
        "muse_glimmer",
        "muse_spark",
        "ovis2",
        "paddleocr_vl",
        "paligemma",
        "phi4_multimodal",
        "qianfan_ocr",
        "qwen2_5_vl",
        "qwen2_vl",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_vl",
        "qwen3_vl_moe",
        "smolvlm",
        "unlimited_ocr",
        "video_llama_3",
        "video_llava",
        "vipllava",
    )
)
"""`model_type` of each."""
