"""The share of evaluation dialogues that demo.gguf gets fully right, by the NumPy reference.

A dialogue is right if every token the assistant has to write is the most likely one. With the recorded tool results in
between that is the same as greedy decoding. `evaluate.ts` measures through the engine, with the real tools.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import encoding
from reference import Reference

HERE = Path(__file__).parent


def first_mistake(reference: Reference, dialogue: dict) -> str | None:
    """None if all is right, else what the model would have written in place of the right token, with the text before."""
    ((ids, weights),) = encoding.encode_dialogues([dialogue])
    best = reference.logits(ids[:-1]).argmax(-1)
    for position in range(1, len(ids)):
        if weights[position] == encoding.ASSISTANT_WEIGHT and best[position - 1] != ids[position]:
            decode = encoding.tokenizer().decode
            before = decode(ids[max(0, position - 12) : position], skip_special_tokens=False)
            return f"{before!r} + {decode([best[position - 1]], skip_special_tokens=False)!r}"
    return None


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "demo.gguf"
    reference = Reference(path)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in (HERE / "evaluation.jsonl").read_text(encoding="utf-8").splitlines():
        dialogue = json.loads(line)
        mistake = first_mistake(reference, dialogue)
        counts[dialogue["kind"]][0] += mistake is None
        counts[dialogue["kind"]][1] += 1
        if mistake:
            print(f"{dialogue['id']}: {mistake}")
    for kind, (right, of) in counts.items():
        print(f"{kind:18} {right:4} of {of}")
    right, of = (sum(column) for column in zip(*counts.values()))
    print(json.dumps({"right": right, "of": of, "share": right / of}))


if __name__ == "__main__":
    main()
