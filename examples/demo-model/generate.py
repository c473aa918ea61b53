"""Writes evaluation.jsonl (600 held-out dialogues, 100 for each kind) and facts.json (what wiki_search knows)."""

import json
import random
from pathlib import Path

import dialogues
import entities
from sources import EvaluationSource

HERE = Path(__file__).parent
PER_KIND = 100
SEED = 20


def evaluation() -> list[dict]:
    """Distinct dialogues, kinds in turn."""
    rng = random.Random(SEED)
    source = EvaluationSource(rng)
    by_kind = []
    for kind in dialogues.KINDS:
        seen: set[str] = set()
        found = []
        while len(found) < PER_KIND:
            dialogue = dialogues.dialogue(kind, source, rng)
            key = json.dumps([t["user"] for t in dialogue["turns"]])
            if key not in seen:
                seen.add(key)
                found.append({"id": f"{kind}-{len(found)}", **dialogue})
        by_kind.append(found)
    return [dialogue for group in zip(*by_kind) for dialogue in group]


def facts() -> list[dict]:
    """One article for each entity: its title and its text."""
    tables = {
        "city": (entities.CITIES, ("country", "river")),
        "country": (entities.COUNTRIES, ("capital", "language")),
        "mountain": (entities.MOUNTAINS, ("country", "height")),
        "person": (entities.PEOPLE, ("city", "year", "topic")),
        "book": (entities.BOOKS, ("author", "year")),
    }
    found = []
    for kind, (table, columns) in tables.items():
        text, _ = dialogues.QUESTIONS[kind]
        found += [{"title": name, "text": text({"name": name, **dict(zip(columns, row))})} for name, row in table.items()]
    assert len({article["title"] for article in found}) == len(found), "a title stands twice"
    return found


def main() -> None:
    lines = [json.dumps(d, ensure_ascii=False, separators=(",", ":")) for d in evaluation()]
    (HERE / "evaluation.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    articles = ",\n".join("  " + json.dumps(a, ensure_ascii=False) for a in facts())
    (HERE / "facts.json").write_text(f"[\n{articles}\n]\n", encoding="utf-8")
    world = ",\n".join(f"  {json.dumps(place)}: {json.dumps(things)}" for place, things in entities.WORLD.items())
    (HERE / "world.json").write_text(f"{{\n{world}\n}}\n", encoding="utf-8")
    print(f"{len(lines)} dialogues")


if __name__ == "__main__":
    main()
