"""Writes the fixtures that compare our engine with code we did not write.

test/fixtures/demo-logits.json    logits of demo.gguf by Hugging Face transformers in float32
test/fixtures/demo-template.json  conversations rendered by Jinja2 and tokenized by Hugging Face tokenizers

    pip install torch transformers accelerate gguf tokenizers jinja2
    python golden.py
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

import encoding
from reference import Reference

HERE = Path(__file__).parent
FIXTURES = HERE.parents[1] / "test" / "fixtures"
TOP = 16
EVERY = 53  # A stride prime to the vocabulary's structure: a sample over the whole row.

CALCULATOR = {"type": "function", "function": {
    "name": "calculator", "description": "Evaluates an arithmetic expression.",
    "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}}}
TRAVEL = {"type": "function", "function": {
    "name": "travel", "description": "Plans a trip.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}


def calls(*pairs: tuple[str, dict]) -> dict:
    tool_calls = [{"type": "function", "function": {"name": name, "arguments": a}} for name, a in pairs]
    return {"role": "assistant", "content": "", "tool_calls": tool_calls}


CONVERSATIONS = [
    {"name": "one question, default system prompt", "messages": [{"role": "user", "content": "What is 4821 * 77?"}],
     "tools": [CALCULATOR], "add_generation_prompt": True},
    {"name": "no tools, own system prompt", "messages": [
        {"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "My name is Zoë."},
        {"role": "assistant", "content": "Hello Zoë."}], "tools": None, "add_generation_prompt": False},
    {"name": "one call and its result", "messages": [
        {"role": "user", "content": "What is 4821 * 77?"}, calls(("calculator", {"expression": "4821 * 77"})),
        {"role": "tool", "content": "371217"}], "tools": [CALCULATOR], "add_generation_prompt": True},
    {"name": "two calls at once, two results, several arguments", "messages": [
        {"role": "user", "content": "Plan both.\nThank you!"},
        calls(("calculator", {"expression": "1 + 1"}), ("travel", {"city": "São \"Paulo\"", "days": 3})),
        {"role": "tool", "content": "2"}, {"role": "tool", "content": "fine, 3 days"},
        {"role": "assistant", "content": "Done: 2."}], "tools": [CALCULATOR, TRAVEL], "add_generation_prompt": False},
    {"name": "text before a call", "messages": [
        {"role": "user", "content": "Add 2 and 3"},
        {**calls(("calculator", {"expression": "2 + 3"})), "content": "Let me see."}],
     "tools": [CALCULATOR], "add_generation_prompt": False},
]

TEXTS = [
    "", " ", "  two  spaces\n\nand\tlines \n", "don't we'll I'M", "Velmora \"Velmora\" Velmora's", "0123 4.5e-6",
    "naïve café, 東京 🚀🚀", "{\"name\": \"x\"}}", "a_b-c/d\\e", "<|im_start|>user<tool_call>", "ÄÖÜ ß ſ",
]


def template_fixture() -> dict:
    conversations = []
    for c in CONVERSATIONS:
        text = encoding.chat_template().render(
            messages=c["messages"], tools=c["tools"], add_generation_prompt=c["add_generation_prompt"])
        conversations.append({**c, "text": text, "ids": encoding.encode(text)})
    return {"conversations": conversations, "texts": [{"text": t, "ids": encoding.encode(t)} for t in TEXTS]}


def logits_fixture() -> dict:
    model = AutoModelForCausalLM.from_pretrained(HERE, gguf_file="demo.gguf", dtype=torch.float32).eval()
    reference = Reference()
    prompts = [encoding.encode(c["text"]) for c in template_fixture()["conversations"][:3]]
    rows = []
    for ids in prompts:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double().numpy()
        difference = np.abs(logits - reference.logits(ids)).max()
        assert difference < 1e-3, f"transformers and the NumPy reference differ by {difference}"
        last = logits[-1]
        top = np.argsort(-last)[:TOP]
        rows.append({
            "ids": ids,
            "best": logits.argmax(-1).tolist(),
            "top": [[int(i), round(float(last[i]), 5)] for i in top],
            "sample": [round(float(v), 5) for v in last[::EVERY]],
        })
    digest = hashlib.sha256((HERE / "demo.gguf").read_bytes()).hexdigest()
    return {"model": "examples/demo-model/demo.gguf", "sha256": digest, "sampleStride": EVERY, "prompts": rows}


def write(name: str, value: dict) -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    write("demo-template.json", template_fixture())
    write("demo-logits.json", logits_fixture())


if __name__ == "__main__":
    main()
