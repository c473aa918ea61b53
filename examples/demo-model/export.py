"""Writes a checkpoint as GGUF, in the layout that llama.cpp's converter gives a Llama.

    python export.py --checkpoint RUN_FOLDER/last.pt --weights final --type q8_0
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

import encoding
from model import Shape
from tokenizer import ADDED, SPECIAL

HERE = Path(__file__).parent
BYTES_MAX = 8 * 1024 * 1024


def interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """Reorders the rows of a Q or K matrix: GGUF's Llama rotates neighbours, the checkpoint rotates halves."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def tensors(state: dict[str, torch.Tensor], shape: Shape) -> dict[str, np.ndarray]:
    """GGUF name → float32 array."""
    a = {name: tensor.float().numpy() for name, tensor in state.items()}
    found = {"token_embd.weight": a["embedding.weight"], "output_norm.weight": a["norm.weight"]}
    for i in range(shape.layers):
        source, target = f"blocks.{i}.", f"blk.{i}."
        found[target + "attn_norm.weight"] = a[source + "attention_norm.weight"]
        found[target + "attn_q.weight"] = interleave(a[source + "q.weight"], shape.heads)
        found[target + "attn_k.weight"] = interleave(a[source + "k.weight"], shape.kv_heads)
        found[target + "attn_v.weight"] = a[source + "v.weight"]
        found[target + "attn_output.weight"] = a[source + "o.weight"]
        found[target + "ffn_norm.weight"] = a[source + "mlp_norm.weight"]
        found[target + "ffn_gate.weight"] = a[source + "gate.weight"]
        found[target + "ffn_up.weight"] = a[source + "up.weight"]
        found[target + "ffn_down.weight"] = a[source + "down.weight"]
    return found


def add_tokenizer(writer: gguf.GGUFWriter) -> None:
    tokenizer = encoding.tokenizer()
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    kinds = {**dict.fromkeys(SPECIAL, gguf.TokenType.CONTROL), **dict.fromkeys(ADDED, gguf.TokenType.USER_DEFINED)}
    merges = json.loads((HERE / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([text for text, _ in by_id])
    writer.add_token_types([kinds.get(text, gguf.TokenType.NORMAL) for text, _ in by_id])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.token_to_id("<|endoftext|>"))
    writer.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
    writer.add_pad_token_id(tokenizer.token_to_id("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template((HERE / "template.jinja").read_text(encoding="utf-8"))


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("infercept demo")
    writer.add_description("Trained from scratch on invented dialogues with tools; see examples/demo-model")
    writer.add_license("MIT")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)


def export(state: dict[str, torch.Tensor], shape: Shape, path: Path, kind: str) -> None:
    quantization = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "f16": gguf.GGMLQuantizationType.F16}[kind]
    file_type = {"q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "f16": gguf.LlamaFileType.MOSTLY_F16}[kind]
    writer = gguf.GGUFWriter(path, "llama")
    add_shape(writer, shape)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_tokenizer(writer)
    for name, array in tensors(state, shape).items():
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, gguf.quants.quantize(array, quantization), raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert path.stat().st_size <= BYTES_MAX, f"{path} has {path.stat().st_size} bytes, {BYTES_MAX} allowed"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--weights", choices=("final", "average"), default="final")
    parser.add_argument("--type", choices=("q8_0", "f16"), default="q8_0")
    parser.add_argument("--out", default=str(HERE / "demo.gguf"))
    options = parser.parse_args()
    saved = torch.load(options.checkpoint, weights_only=False)
    state = saved["average" if options.weights == "average" else "model"]
    export(state, Shape(**saved["shape"]), Path(options.out), options.type)
    print(f"{options.out}: {Path(options.out).stat().st_size} bytes, step {saved['step']}, {saved['tokens']} tokens seen")


if __name__ == "__main__":
    main()
