"""A second, independent reading of demo.gguf: a Llama forward pass in float64 NumPy on the dequantized weights."""

from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).parent


def field(reader: gguf.GGUFReader, name: str):
    return reader.fields[name].contents()


class Reference:
    def __init__(self, path: Path = HERE / "demo.gguf"):
        reader = gguf.GGUFReader(path)
        self.layers = field(reader, "llama.block_count")
        self.heads = field(reader, "llama.attention.head_count")
        self.kv_heads = field(reader, "llama.attention.head_count_kv")
        self.epsilon = field(reader, "llama.attention.layer_norm_rms_epsilon")
        self.rope_base = field(reader, "llama.rope.freq_base")
        self.weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon) * self.weights[name]

    def rotate(self, x: np.ndarray) -> np.ndarray:
        """Rotates neighbouring pairs. x: [length, heads, head_width]."""
        length, _, width = x.shape
        angles = np.outer(np.arange(length), self.rope_base ** (-np.arange(0, width, 2) / width))[:, None, :]
        even, odd = x[..., 0::2], x[..., 1::2]
        rotated = np.empty_like(x)
        rotated[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
        rotated[..., 1::2] = odd * np.cos(angles) + even * np.sin(angles)
        return rotated

    def attention(self, x: np.ndarray, block: str) -> np.ndarray:
        w, length = self.weights, len(x)
        q = self.rotate((x @ w[block + "attn_q.weight"].T).reshape(length, self.heads, -1))
        k = self.rotate((x @ w[block + "attn_k.weight"].T).reshape(length, self.kv_heads, -1))
        v = (x @ w[block + "attn_v.weight"].T).reshape(length, self.kv_heads, -1)
        k, v = (np.repeat(a, self.heads // self.kv_heads, axis=1) for a in (k, v))
        q, k, v = (a.swapaxes(0, 1) for a in (q, k, v))
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ v).swapaxes(0, 1).reshape(length, -1)
        return mixed @ w[block + "attn_output.weight"].T

    def logits(self, ids: list[int]) -> np.ndarray:
        """[length, vocabulary]"""
        w = self.weights
        x = w["token_embd.weight"][ids]
        for i in range(self.layers):
            block = f"blk.{i}."
            x = x + self.attention(self.norm(x, block + "attn_norm.weight"), block)
            y = self.norm(x, block + "ffn_norm.weight")
            gate, up = y @ w[block + "ffn_gate.weight"].T, y @ w[block + "ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[block + "ffn_down.weight"].T
        return self.norm(x, "output_norm.weight") @ w["token_embd.weight"].T
