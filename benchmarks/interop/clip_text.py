"""Embeddings of tiny CLIP text models by Hugging Face transformers, for the tests of the crate `text`.

    pip install torch transformers safetensors
    python benchmarks/interop/clip_text.py crates/text/tests/data/clip_text.safetensors

Each case has random weights, tokens of three texts, padded with the token that ends them, and their
embeddings, by `CLIPTextModelWithProjection`. The names of a case's tensors begin with its own.
"""

import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

# Activation, and the token that ends a text: 2 in old files, where the largest number ends it.
CASES = {"quick_gelu": ("quick_gelu", 23), "gelu": ("gelu", 23), "legacy": ("quick_gelu", 2)}
TEXTS = [[22, 5, 7, 1, 23, 23, 23], [22, 3, 23, 23, 23, 23, 23], [22, 20, 19, 18, 17, 16, 23]]


def case(activation: str, end: int) -> dict[str, torch.Tensor]:
    config = CLIPTextConfig(
        vocab_size=24, hidden_size=8, intermediate_size=12, projection_dim=6, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=7, hidden_act=activation,
        eos_token_id=end, bos_token_id=22, pad_token_id=23,
    )
    model = CLIPTextModelWithProjection(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
        tokens = torch.tensor(TEXTS)
        expected = model(input_ids=tokens).text_embeds
    tensors = {name: value.clone() for name, value in model.state_dict().items() if "position_ids" not in name}
    return {**tensors, "tokens": tokens.to(torch.int32), "expected": expected.clone()}


def main() -> None:
    torch.manual_seed(31)
    tensors = {}
    for name, (activation, end) in CASES.items():
        tensors |= {f"{name}.{key}": value for key, value in case(activation, end).items()}
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    save_file(tensors, sys.argv[1], metadata={"made_by": versions})


main()
