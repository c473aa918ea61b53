"""Where dialogues get their names, words and numbers from.

`TrainingSource` invents everything, so that the model cannot learn names by heart and has to copy.
`EvaluationSource` takes real entities, none of which a training dialogue may contain.
"""

import json
import random
import zlib
from functools import cache
from pathlib import Path

import entities

CONSONANTS = "bcdfghjklmnpqrstvwxyz"
VOWELS = "aeiou"
MONTHS = "January February March April May June July August September October November December".split()


def is_held_out_number(number: int) -> bool:
    """One number in six of two digits or more is an operand in the evaluation only."""
    return number >= 10 and zlib.crc32(str(number).encode()) % 6 == 0


@cache
def fragments() -> list[str]:
    """The vocabulary's pieces of words: invented words made of them show every piece being copied."""
    path = Path(__file__).with_name("tokenizer.json")
    vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    return [piece for piece in vocabulary if len(piece) >= 2 and piece.isascii() and piece.isalpha()]


def title(words: list[str]) -> str:
    return " ".join(word.capitalize() for word in words)


class TrainingSource:
    """Invented entities. Any word that belongs to the evaluation is drawn again."""

    forbidden = entities.held_out_words()
    forbidden_years = entities.held_out_years()

    def __init__(self, rng: random.Random):
        self.rng = rng

    def _syllables(self) -> str:
        rng, word = self.rng, ""
        for _ in range(rng.choice((1, 2, 2, 3, 3))):
            word += rng.choice(CONSONANTS) if rng.random() < 0.85 else rng.choice(("st", "tr", "gr", "ch", "sh", "br"))
            word += rng.choice(VOWELS)
            if rng.random() < 0.4:
                word += rng.choice("nrslmtkd")
        return word

    def _fragments(self) -> str:
        return "".join(self.rng.choice(fragments()) for _ in range(self.rng.choice((1, 2, 2, 3))))

    def _letters(self) -> str:
        letters = "eeeaaaiioooutnnsrrlhdcmpgbkfvwyzxjq"
        return "".join(self.rng.choice(letters) for _ in range(self.rng.randint(3, 9)))

    def word(self) -> str:
        """One lower-case word of 3 to 12 letters."""
        while True:
            make = self.rng.choice((self._syllables, self._syllables, self._fragments, self._letters))
            word = make()
            if 3 <= len(word) <= 12 and word not in self.forbidden:
                return word

    def words(self, count: int) -> list[str]:
        """Distinct lower-case words."""
        found: list[str] = []
        while len(found) < count:
            word = self.word()
            if word not in found:
                found.append(word)
        return found

    def name(self) -> str:
        return self.word().capitalize()

    def names(self, count: int) -> list[str]:
        return [word.capitalize() for word in self.words(count)]

    def place_name(self) -> str:
        return title(self.words(2)) if self.rng.random() < 0.15 else self.name()

    first_name = pet = name
    adjective = creature = thing = scene = dish = colour = word

    def city(self) -> dict:
        return {"name": self.place_name(), "country": self.name(), "river": self.place_name()}

    def country(self, name: str | None = None) -> dict:
        return {"name": name or self.name(), "capital": self.place_name(), "language": self.name()}

    def mountain(self) -> dict:
        return {"name": self.place_name(), "country": self.name(), "height": self.year(800, 9000)}

    def person(self) -> dict:
        topic = " ".join(self.words(2)) if self.rng.random() < 0.3 else self.word()
        return {"name": title(self.words(2)), "city": self.name(), "year": self.year(1500, 2020), "topic": topic}

    def book(self) -> dict:
        shape = self.rng.random()
        if shape < 0.5:
            name = self.name()
        elif shape < 0.7:
            name = title(self.words(2))
        elif shape < 0.85:
            name = "The " + self.name()
        else:
            name = " and ".join(self.names(2))
        return {"name": name, "author": title(self.words(2)), "year": self.year(1600, 2020)}

    def year(self, low: int, high: int) -> int:
        while True:
            year = self.rng.randint(low, high)
            if year not in self.forbidden_years:
                return year

    def operand(self, low: int, high: int) -> int:
        while True:
            number = self.rng.randint(low, high)
            if self.allows(number):
                return number

    def allows(self, number: int) -> bool:
        return not is_held_out_number(number)

    def rooms(self, count: int) -> list[tuple[str, list[str]]]:
        """Places with what lies there, as in the small world."""
        words = self.words(count * 4)
        return [(words[4 * i], words[4 * i + 1 : 4 * i + 1 + self.rng.randint(1, 3)]) for i in range(count)]


class EvaluationSource:
    """Real entities, never seen in training."""

    def __init__(self, rng: random.Random):
        self.rng = rng

    def first_name(self) -> str:
        return self.rng.choice(entities.FIRST_NAMES)

    def pet(self) -> str:
        return self.rng.choice(entities.PETS)

    def place_name(self) -> str:
        return self.rng.choice(list(entities.CITIES))

    def adjective(self) -> str:
        return self.rng.choice(entities.ADJECTIVES)

    def creature(self) -> str:
        return self.rng.choice(entities.CREATURES)

    def thing(self) -> str:
        return self.rng.choice(entities.THINGS)

    def scene(self) -> str:
        return self.rng.choice(entities.SCENES)

    def dish(self) -> str:
        return self.rng.choice(entities.DISHES)

    def colour(self) -> str:
        return self.rng.choice(entities.COLOURS)

    def city(self) -> dict:
        name, (country, river) = self.rng.choice(list(entities.CITIES.items()))
        return {"name": name, "country": country, "river": river}

    def country(self, name: str | None = None) -> dict:
        name = name or self.rng.choice(list(entities.COUNTRIES))
        capital, language = entities.COUNTRIES[name]
        return {"name": name, "capital": capital, "language": language}

    def mountain(self) -> dict:
        name, (country, height) = self.rng.choice(list(entities.MOUNTAINS.items()))
        return {"name": name, "country": country, "height": height}

    def person(self) -> dict:
        name, (city, year, topic) = self.rng.choice(list(entities.PEOPLE.items()))
        return {"name": name, "city": city, "year": year, "topic": topic}

    def book(self) -> dict:
        name, (author, year) = self.rng.choice(list(entities.BOOKS.items()))
        return {"name": name, "author": author, "year": year}

    def operand(self, low: int, high: int) -> int:
        return self.rng.choice([n for n in range(low, high + 1) if self.allows(n)])

    def allows(self, number: int) -> bool:
        return number < 10 or is_held_out_number(number)

    def rooms(self, count: int) -> list[tuple[str, list[str]]]:
        return [(p, list(entities.WORLD[p])) for p in self.rng.sample(list(entities.WORLD), count)]
