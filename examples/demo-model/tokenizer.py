"""Makes tokenizer.json: byte-level BPE in which a name has the same tokens wherever it stands.

Merges are learned from lower-case words only, and a leading space joins a word of the templates as the last merge.
So `Velmora` is `V`, `el`, `mor`, `a` after a space, after a quote and at the start of a line, and a model that copies
tokens copies names. Capitals, digits and punctuation stay single, but for a few pairs of JSON punctuation.
"""

import json
import random
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

HERE = Path(__file__).parent
MERGES_LEARNED = 420
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]

# llama.cpp knows this pattern as the pre-tokenizer "qwen2": digits stand alone.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEMPLATE_WORDS = """what is the answer are and calculate how much please work out many does have now has gets more loses
buys for each pay pays then multiply result by add subtract calculator expression search query environment step action
draw prompt speak text wiki name arguments tool assistant system user you helpful tools city country river lies on
its capital language mountain metres high was born worked book appeared flows through which people speak
where when did who wrote author written year height spoken take from get bring carry put down see look around
go nothing in to it at my your called favourite colour dog live remember that will hello want travel help plan trip
travels with friend should or cannot choose between prefer other one wants saved as drawing speech svg wav
here picture make paint can hear say read this aloud good morning ready welcome sleeps train leaves minutes saw
repeat an of be do if use them agent sentence""".split()

# In every prompt, so worth one token each.
PROTOCOL_WORDS = """name arguments calculator expression search query environment step action wiki draw prompt speak text
tool system user assistant helpful drawing speech""".split()


def learn_merges(counts: Counter[str], number: int) -> list[tuple[str, str]]:
    """Plain byte-pair encoding over lower-case words, most frequent pair first."""
    words = {word: list(word) for word in counts}
    merges = []
    for _ in range(number):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += counts[word]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, pieces in words.items():
            words[word] = join_pairs(pieces, best)
    return merges


def join_pairs(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    joined, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            joined.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            joined.append(pieces[i])
            i += 1
    return joined


def training_words(rng: random.Random) -> Counter[str]:
    """The templates' words, and invented syllables so that names take few tokens."""
    counts = Counter({word: 60 for word in TEMPLATE_WORDS})
    counts.update({word: 600 for word in PROTOCOL_WORDS})
    for _ in range(6000):
        syllables = [rng.choice("bcdfghjklmnprstvz") + rng.choice("aeiou") + rng.choice(["", "", "", "n", "r", "l", "s"])
                     for _ in range(2)]
        counts["".join(syllables)] += 1
    return counts


def build() -> Tokenizer:
    merges = learn_merges(training_words(random.Random(1)), MERGES_LEARNED)
    pieces = {a + b for a, b in merges}
    merges += [("Ġ", word) for word in TEMPLATE_WORDS if word in pieces]
    merges += [("{", '"'), ('"', ":"), ('"', ","), ('"', "}"), ('"}', "}")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary: dict[str, int] = {}
    for piece in [*alphabet, *(a + b for a, b in merges)]:
        vocabulary.setdefault(piece, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(dict.fromkeys(merges))))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in ADDED])
    return tokenizer


def main() -> None:
    tokenizer = build()
    tokenizer.save(str(HERE / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "model_max_length": 2048,
        "chat_template": (HERE / "template.jinja").read_text(encoding="utf-8"),
    }
    (HERE / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    print(f"{tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
