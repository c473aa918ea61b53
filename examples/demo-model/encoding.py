"""Turns a dialogue into messages, text and token ids, as the chat template does."""

import json
from functools import cache
from pathlib import Path

import jinja2
from tokenizers import Tokenizer

from dialogues import TOOLS

HERE = Path(__file__).parent
DEFAULT_SYSTEM = "You are a helpful assistant."

# Weights of the loss. What tools return repeats names, so a little weight there teaches copying.
ASSISTANT_WEIGHT = 1.0
RESULT_WEIGHT = 0.2
OTHER_WEIGHT = 0.02


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(HERE / "tokenizer.json"))


@cache
def chat_template() -> jinja2.Template:
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string((HERE / "template.jinja").read_text(encoding="utf-8"))


def tool_schemas(names: list[str]) -> list[dict]:
    return [
        {"type": "function", "function": {"name": name, "parameters": {
            "type": "object", "properties": {TOOLS[name]: {"type": "string"}}, "required": [TOOLS[name]]}}}
        for name in names
    ]


def messages(dialogue: dict) -> list[dict]:
    found = [{"role": "system", "content": dialogue["system"]}] if dialogue.get("system") else []
    for turn in dialogue["turns"]:
        found.append({"role": "user", "content": turn["user"]})
        for step in turn["steps"]:
            calls = [{"type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in step]
            found.append({"role": "assistant", "content": "", "tool_calls": calls})
            found += [{"role": "tool", "content": c["result"]} for c in step]
        found.append({"role": "assistant", "content": turn["text"]})
    return found


def render(dialogue: dict, add_generation_prompt: bool = False) -> str:
    return chat_template().render(messages=messages(dialogue), tools=tool_schemas(dialogue["tools"]),
                                  add_generation_prompt=add_generation_prompt)


def encode(text: str) -> list[int]:
    return tokenizer().encode(text, add_special_tokens=False).ids


def call_text(call: dict) -> str:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {arguments}}}\n</tool_call>'


def pieces(dialogue: dict) -> list[tuple[str, float]]:
    """The rendered text cut into pieces with the weight of each in the loss."""
    tools = "".join(f"\n{name}({TOOLS[name]})" for name in dialogue["tools"])
    system = dialogue.get("system") or DEFAULT_SYSTEM
    found = [(f"<|im_start|>system\n{system}{chr(10) + 'Tools:' + tools if tools else ''}<|im_end|>\n", OTHER_WEIGHT)]
    for turn in dialogue["turns"]:
        found.append((f"<|im_start|>user\n{turn['user']}<|im_end|>\n<|im_start|>assistant\n", OTHER_WEIGHT))
        for step in turn["steps"]:
            found.append(("\n".join(call_text(c) for c in step) + "<|im_end|>", ASSISTANT_WEIGHT))
            for c in step:
                found.append(("\n<|im_start|>tool\n<tool_response>\n", 0.0))
                found.append((c["result"], RESULT_WEIGHT))
                found.append(("\n</tool_response><|im_end|>", 0.0))
            found.append(("\n<|im_start|>assistant\n", 0.0))
        found.append((turn["text"] + "<|im_end|>", ASSISTANT_WEIGHT))
        found.append(("\n", 0.0))
    return found


def encode_dialogues(dialogues: list[dict]) -> list[tuple[list[int], list[float]]]:
    """Token ids with the loss weight of each token, one pair of lists for each dialogue."""
    cut = [pieces(d) for d in dialogues]
    encodings = iter(tokenizer().encode_batch([text for p in cut for text, _ in p], add_special_tokens=False))
    found = []
    for p in cut:
        ids: list[int] = []
        weights: list[float] = []
        for _, weight in p:
            piece = next(encodings).ids
            ids += piece
            weights += [weight] * len(piece)
        found.append((ids, weights))
    return found
