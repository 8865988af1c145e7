"""A tokenizer of Qwen2-VL's kind, small and made from nothing: its own vocabulary cannot be downloaded here.

Needs `tokenizers` alone: both sides of a parity check make it, and must get the same ids. All but the vocabulary is as
in Qwen2-VL's tokenizer.json: byte-level BPE, NFC, how text is split into words, which tokens are special. What else
the official code wants to find in a model's folder is written here too.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""In the order of their ids in Qwen2-VL, right after the vocabulary."""

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

WORDS = """
a abnormal acceptable accessories accurately across actions adaptation adheres adult aesthetic alignment amplitude and
angles animal any appearance appropriately are areas artifacts artistic aspects assess atmosphere attention attribute
attributes background balance based be behavior being best between biological blinking blurring boats body camera
captured cat categories changes check clarity clear clothing coherence color colors composition conflict considered
consistency consistent contain content context continuity contradictions convey creative creativity criteria critical
depth described description detail deviations different dimensions direction distinct dog dynamic each easy edges
effects elements enhance ensure environment environmental errors estimate evaluate evaluating evaluation example
expected expressions facial factors faithfully feeling fidelity field fit fluctuating fluid focus follow following
frames from fusion generated gestures give hair harmful harmony hinder how human if image in inappropriate includes
including independent indistinct intent interpret introduce is it jumps largely levels lighting like little locations
logical lowest maintain match matches material meaning mentioned minor misc missing motion movement movements moving
natural naturally naturalness nonsensical not number object obvious of on or original other overall painted particular
parts paste person physical please political possible preference present preserved prompt proper provide quality
rating ratings realistic reasonableness red related relevance represented reward richness safety satisfaction scenario
scene schemes score seamless sections sense setting setups shadows sharpness should significant smooth specific
specified stability static structures style stylistic sub subject such sudden support surrounding talking tasked terms
text textual textures that the there this three to transitions type unnatural unsteady very video violent visibility
visible visual walks wall well what where whether while with without worst you
"""
"""These become tokens, and so do their beginnings; with a space before them or not, and a capital letter or not."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ content['text'] }}{% endif %}"
    "{% endfor %}"
    "<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What Qwen2-VL's chat_template.json says, less the numbering of pictures, which is off by default."""


def qwen2_tokenizer() -> Tokenizer:
    """256 bytes, WORDS with their beginnings, and the special tokens: some thousands in all."""
    vocabulary = {byte: index for index, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    words = WORDS.split() + [word.capitalize() for word in WORDS.split()]
    for word in [*("Ġ" + word for word in words), *words]:  # how byte-level BPE writes a space
        beginning = word[0]
        for letter in word[1:]:
            if beginning + letter not in vocabulary:
                merges.append((beginning, letter))
                vocabulary[beginning + letter] = len(vocabulary)
            beginning += letter
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    return tokenizer


def write_processor(folder: Path) -> None:
    """What the official code loads besides weights, as the folder of Qwen/Qwen2-VL-7B-Instruct has it."""
    tokenizer = qwen2_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {
        tokenizer.token_to_id(token): {"content": token, "normalized": False, "special": True} for token in SPECIAL
    }
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": added,
            "additional_special_tokens": SPECIAL[1:],
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 32768,
        },
        "preprocessor_config.json": {
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2VLProcessor",
            "min_pixels": 3136,
            "max_pixels": 12845056,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
        "chat_template.json": {"chat_template": CHAT_TEMPLATE},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2))


def architecture(hidden: int = 64) -> dict[str, object]:
    """A tiny Qwen2-VL in the words of its config.json; the vocabulary has spare rows, as the real one has."""
    tokenizer = qwen2_tokenizer()
    return {
        "vocab_size": tokenizer.get_vocab_size() + 41,
        "hidden_size": hidden,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "vision_config": {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 4, "hidden_size": hidden},
        "vision_start_token_id": tokenizer.token_to_id("<|vision_start|>"),
        "vision_end_token_id": tokenizer.token_to_id("<|vision_end|>"),
        "vision_token_id": tokenizer.token_to_id("<|vision_pad|>"),
        "image_token_id": tokenizer.token_to_id("<|image_pad|>"),
        "video_token_id": tokenizer.token_to_id("<|video_pad|>"),
    }
