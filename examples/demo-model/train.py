"""Trains the demo model from scratch on invented dialogues, on a CPU.

    python train.py --out RUN_FOLDER --until 16:30 --decay-minutes 20

The learning rate is constant and falls to zero in the last minutes, so the end can be moved while training runs:
write {"until": "17:00", "shares": {"human": 2}} to RUN_FOLDER/control.json. RUN_FOLDER/last.pt holds all that is needed to go on.
"""

import argparse
import dataclasses
import json
import random
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import dialogues
import encoding
from model import Llama, Shape
from sources import TrainingSource

# Lengths to which dialogues are padded: one compiled graph each.
BUCKETS = (96, 192, 288, 448)
TOKENS_PER_STEP = 8192
PAD = "<|endoftext|>"

SHARES = {"calculator": 1.0, "wiki_search": 1.6, "environment_step": 1.5, "human": 1.3, "draw": 0.8, "speak": 1.2, "mixed": 0.7,
          "choice": 0.5}
# Copying and recall are learned early: their share falls once they are there.
COPY_SHARE_START, COPY_SHARE_END, COPY_TOKENS = 0.5, 0.08, 6e6


class Batches:
    """An endless stream of padded batches (ids, targets, weights), [rows, bucket] each."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.source = TrainingSource(self.rng)
        self.waiting: dict[int, list] = defaultdict(list)
        self.pad = encoding.tokenizer().token_to_id(PAD)
        self.shares = dict(SHARES)
        self.tokens = 0

    def dialogue(self) -> dict:
        progress = min(1.0, self.tokens / COPY_TOKENS)
        if self.rng.random() < COPY_SHARE_START + (COPY_SHARE_END - COPY_SHARE_START) * progress:
            make = self.rng.choice((dialogues.copy_dialogue, dialogues.recall_dialogue))
            return make(self.source, self.rng)
        kind = self.rng.choices(list(self.shares), list(self.shares.values()))[0]
        if kind == "mixed":
            return dialogues.mixed_dialogue(self.source, self.rng)
        return dialogues.dialogue(kind, self.source, self.rng)

    def fill(self) -> None:
        for ids, weights in encoding.encode_dialogues([self.dialogue() for _ in range(200)]):
            bucket = next((b for b in BUCKETS if len(ids) <= b + 1), None)
            if bucket:
                self.waiting[bucket].append((ids, weights))

    def next(self) -> tuple[Tensor, Tensor, Tensor]:
        while True:
            ready = [b for b in BUCKETS if len(self.waiting[b]) >= TOKENS_PER_STEP // b]
            if ready:
                return self.pack(self.rng.choice(ready))
            self.fill()

    def pack(self, bucket: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = TOKENS_PER_STEP // bucket
        taken, self.waiting[bucket] = self.waiting[bucket][:rows], self.waiting[bucket][rows:]
        ids = torch.full((rows, bucket + 1), self.pad)
        weights = torch.zeros(rows, bucket + 1)
        for row, (row_ids, row_weights) in enumerate(taken):
            ids[row, : len(row_ids)] = torch.tensor(row_ids)
            weights[row, : len(row_ids)] = torch.tensor(row_weights)
        self.tokens += rows * bucket
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights[:, 1:].contiguous()


def orthogonalize(updates: Tensor) -> Tensor:
    """Newton-Schulz iteration (Jordan et al., Muon, 2024). updates: [count, rows, columns]."""
    x = updates.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).to(updates.dtype)


class Muon:
    """Momentum with orthogonalized updates for the matrices; equal shapes go together."""

    def __init__(self, parameters: list[Tensor], momentum: float = 0.95):
        self.groups: dict[tuple, list[Tensor]] = defaultdict(list)
        for p in parameters:
            self.groups[tuple(p.shape)].append(p)
        self.velocity = {shape: torch.zeros(len(g), *shape) for shape, g in self.groups.items()}
        self.momentum = momentum

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for shape, group in self.groups.items():
            gradients = torch.stack([p.grad for p in group])
            velocity = self.velocity[shape].lerp_(gradients, 1 - self.momentum)
            updates = orthogonalize(gradients.lerp(velocity, self.momentum))
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for p, update in zip(group, updates):
                p.add_(update, alpha=-rate * scale)


def exactly_right(model: Llama, examples: list[dict]) -> dict[str, tuple[int, int]]:
    """By kind: dialogues in which every assistant token is the most likely one, and their number.

    That is the same as greedy decoding with the recorded results: the first wrong token spoils both.
    """
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    encoded = sorted(zip(encoding.encode_dialogues(examples), (d["kind"] for d in examples)), key=lambda e: len(e[0][0]))
    with torch.no_grad():
        for start in range(0, len(encoded), 20):
            batch = encoded[start : start + 20]
            length = max(len(ids) for (ids, _), _ in batch)
            ids = torch.zeros(len(batch), length, dtype=torch.long)
            for row, ((row_ids, _), _) in enumerate(batch):
                ids[row, : len(row_ids)] = torch.tensor(row_ids)
            best = model(ids).argmax(-1)
            for row, ((row_ids, weights), kind) in enumerate(batch):
                asked = torch.tensor(weights)[1:] == encoding.ASSISTANT_WEIGHT
                right = bool((best[row, : len(row_ids) - 1] == ids[row, 1 : len(row_ids)])[asked].all())
                found[kind][0] += right
                found[kind][1] += 1
    return {kind: (a, b) for kind, (a, b) in found.items()}


def seconds_until(clock: str) -> float:
    now = datetime.now()
    hour, minute = map(int, clock.split(":"))
    return (now.replace(hour=hour, minute=minute, second=0) - now).total_seconds()


def weighted_loss(model: Llama, ids: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids)
    losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


class Trainer:
    def __init__(self, options: argparse.Namespace):
        self.out = Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.control = {"until": options.until, "decay_minutes": options.decay_minutes, "rate": 1.0}
        self.shape = Shape(vocabulary=encoding.tokenizer().get_vocab_size())
        self.model = Llama(self.shape)
        self.average = Llama(self.shape)
        self.average.load_state_dict(self.model.state_dict())
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embedding" not in n]
        others = [p for n, p in self.model.named_parameters() if p.ndim != 2 or "embedding" in n]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.batches = Batches(options.seed)
        self.step = 0
        self.loss = torch.compile(weighted_loss, dynamic=False)
        lines = (Path(__file__).with_name("evaluation.jsonl")).read_text().splitlines()
        self.examples = [json.loads(line) for line in lines]
        if (self.out / "last.pt").exists():
            self.resume()

    def say(self, **facts) -> None:
        line = json.dumps({"time": datetime.now().strftime("%H:%M:%S"), "step": self.step, **facts})
        print(line, flush=True)

    def save(self) -> None:
        state = {"step": self.step, "tokens": self.batches.tokens, "shape": dataclasses.asdict(self.shape),
                 "model": self.model.state_dict(), "average": self.average.state_dict(),
                 "velocity": self.muon.velocity, "adam": self.adam.state_dict()}
        torch.save(state, self.out / "next.pt")
        (self.out / "next.pt").replace(self.out / "last.pt")

    def resume(self) -> None:
        state = torch.load(self.out / "last.pt", weights_only=False)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.muon.velocity = state["velocity"]
        self.adam.load_state_dict(state["adam"])
        self.step, self.batches = state["step"], Batches(self.options.seed + state["step"])
        self.batches.tokens = state["tokens"]

    def rate(self) -> float:
        """1 until the decay begins, then down to 0 at the end; a short warm-up."""
        left = seconds_until(self.control["until"])
        warm_up = min(1.0, (self.step + 1) / 100)
        return max(0.0, min(1.0, left / (60 * self.control["decay_minutes"]))) * warm_up * self.control["rate"]

    def read_control(self) -> None:
        path = self.out / "control.json"
        if path.exists():
            change = json.loads(path.read_text())
            self.batches.shares.update(change.pop("shares", {}))
            self.control.update(change)

    def train_one(self) -> float:
        rate = self.rate()
        loss = self.loss(self.model, *self.batches.next())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        self.muon.step(0.02 * rate)
        self.adam.param_groups[0]["lr"] = 3e-3 * rate
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            decay = min(0.995, 1 - 10 / (self.step + 11))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        self.step += 1
        return loss.item()

    def evaluate(self) -> None:
        right = exactly_right(self.average, self.examples[:: self.options.evaluate_stride])
        total = sum(a for a, _ in right.values()), sum(b for _, b in right.values())
        self.say(right={k: f"{a}/{b}" for k, (a, b) in right.items()}, share=round(total[0] / total[1], 3))

    def run(self) -> None:
        self.read_control()
        started, tokens, recent = time.time(), self.batches.tokens, 0.0
        while seconds_until(self.control["until"]) > 0:
            recent += self.train_one()
            if self.step % 50 == 0:
                self.read_control()
                speed = (self.batches.tokens - tokens) / (time.time() - started)
                self.say(loss=round(recent / 50, 4), million=round(self.batches.tokens / 1e6, 2), speed=round(speed),
                         rate=round(self.rate(), 3))
                started, tokens, recent = time.time(), self.batches.tokens, 0.0
            if self.step % 300 == 0:
                self.evaluate()
                self.save()
        self.evaluate()
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--until", default="16:30", help="wall-clock time at which training ends")
    parser.add_argument("--decay-minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--evaluate-stride", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    Trainer(options).run()


if __name__ == "__main__":
    main()
