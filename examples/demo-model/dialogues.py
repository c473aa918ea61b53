"""The six kinds of dialogue, built from the entities of a source.

A dialogue is {kind, system?, tools, turns}; a turn is {user, steps, text}; a step is one assistant
message of one or more calls {name, arguments, result}. `text` is the assistant's last message of the turn.
"""

import random
import zlib

from sources import MONTHS

TOOLS = {
    "calculator": "expression",
    "wiki_search": "query",
    "environment_step": "action",
    "draw": "prompt",
    "speak": "text",
}


def call(name: str, argument: str, result: str) -> dict:
    return {"name": name, "arguments": {TOOLS[name]: argument}, "result": result}


def turn(user: str, steps: list[list[dict]], text: str) -> dict:
    return {"user": user, "steps": steps, "text": text}


# ---------------------------------------------------------------- calculator


def evaluate(expression: str) -> str:
    left, operator, right = expression.split(" ")
    a, b = int(left), int(right)
    return str({"+": a + b, "-": a - b, "*": a * b, "/": a // b}[operator])


def calculation(expression: str) -> dict:
    return call("calculator", expression, evaluate(expression))


def expression(source, rng: random.Random) -> str:
    operator = rng.choice("+++--****/")
    if operator == "/":
        return division(source, rng)
    high = rng.choice((99, 999, 9999))
    a, b = source.operand(10, high), source.operand(2 if operator == "*" else 10, 999)
    if operator == "-" and b > a:
        a, b = b, a
    return f"{a} {operator} {b}"


def division(source, rng: random.Random) -> str:
    """One without remainder."""
    while True:
        divisor = source.operand(2, 99)
        dividend = divisor * rng.randint(2, 200)
        if source.allows(dividend):
            return f"{dividend} / {divisor}"


def calculator_single(source, rng):
    e = expression(source, rng)
    user = rng.choice(("What is {}?", "Calculate {}.", "How much is {}?", "Please work out {}.")).format(e)
    return turn(user, [[calculation(e)]], f"The answer is {evaluate(e)}.")


def calculator_story(source, rng):
    name, thing = source.first_name(), source.thing()
    a, b = source.operand(10, 999), source.operand(10, 99)
    shape = rng.randrange(3)
    if shape == 0:
        e = f"{a} + {b}"
        user = f"{name} has {a} {thing}s and gets {b} more. How many does {name} have now?"
    elif shape == 1:
        a, b = max(a, b), min(a, b)
        e = f"{a} - {b}"
        user = f"{name} has {a} {thing}s and loses {b}. How many does {name} have now?"
    else:
        e = f"{a} * {b}"
        user = f"{name} buys {a} {thing}s for {b} each. How much does {name} pay?"
    verb = "pays" if shape == 2 else "has"
    return turn(user, [[calculation(e)]], f"{name} {verb} {evaluate(e)}.")


def calculator_steps(source, rng):
    first, c = expression(source, rng), source.operand(2, 99)
    operator, words = rng.choice((("*", "multiply the result by"), ("+", "add"), ("-", "subtract")))
    middle = evaluate(first)
    second = f"{middle} {operator} {c}"
    user = f"{rng.choice(('Calculate', 'Work out'))} {first}, then {words} {c}."
    return turn(user, [[calculation(first)], [calculation(second)]], f"The answer is {evaluate(second)}.")


def calculator_parallel(source, rng):
    a, b = expression(source, rng), expression(source, rng)
    text = f"The answers are {evaluate(a)} and {evaluate(b)}."
    return turn(f"What is {a} and what is {b}?", [[calculation(a), calculation(b)]], text)


# ---------------------------------------------------------------- wiki_search


def city_text(f):
    return f"{f['name']} is a city in {f['country']}. It lies on the {f['river']}."


def country_text(f):
    return f"{f['name']} is a country. Its capital is {f['capital']}. Its language is {f['language']}."


def mountain_text(f):
    return f"{f['name']} is a mountain in {f['country']}. It is {f['height']} metres high."


def person_text(f):
    return f"{f['name']} was born in {f['city']} in {f['year']} and worked on {f['topic']}."


def book_text(f):
    return f"{f['name']} is a book by {f['author']}. It appeared in {f['year']}."


def lookup(fact: dict, text) -> dict:
    return call("wiki_search", fact["name"], text(fact))


# kind of article: (text, [(questions, answer)])
QUESTIONS = {
    "city": (city_text, [
        (("In which country is {name}?", "Which country is {name} in?", "Where is {name}?"), "{name} is in {country}."),
        (("Which river flows through {name}?", "What river is {name} on?"), "The {river} flows through {name}."),
    ]),
    "country": (country_text, [
        (("What is the capital of {name}?", "Which city is the capital of {name}?"), "The capital of {name} is {capital}."),
        (("Which language is spoken in {name}?", "What do people speak in {name}?"), "People in {name} speak {language}."),
    ]),
    "mountain": (mountain_text, [
        (("How high is {name}?", "What is the height of {name}?"), "{name} is {height} metres high."),
        (("In which country is {name}?", "Where is {name}?"), "{name} is in {country}."),
    ]),
    "person": (person_text, [
        (("When was {name} born?", "In which year was {name} born?"), "{name} was born in {year}."),
        (("Where was {name} born?", "In which city was {name} born?"), "{name} was born in {city}."),
        (("What did {name} work on?",), "{name} worked on {topic}."),
    ]),
    "book": (book_text, [
        (("Who wrote {name}?", "Who is the author of {name}?"), "{name} was written by {author}."),
        (("When did {name} appear?", "In which year did {name} appear?"), "{name} appeared in {year}."),
    ]),
}


def wiki_single(source, rng):
    kind = rng.choice(list(QUESTIONS))
    text, questions = QUESTIONS[kind]
    fact = getattr(source, kind)()
    forms, answer = rng.choice(questions)
    return turn(rng.choice(forms).format(**fact), [[lookup(fact, text)]], answer.format(**fact))


def wiki_chain(source, rng):
    """The article about a city or mountain names the country, the country's article has the answer."""
    kind = rng.choice(("city", "mountain"))
    fact = getattr(source, kind)()
    country = source.country(fact["country"])
    question, answer = rng.choice((
        ("What is the capital of the country where {} is?", "The capital of {name} is {capital}."),
        ("Which language is spoken in the country where {} is?", "People in {name} speak {language}."),
    ))
    steps = [[lookup(fact, QUESTIONS[kind][0])], [lookup(country, country_text)]]
    return turn(question.format(fact["name"]), steps, answer.format(**country))


def distinct_pair(make):
    first, second = make(), make()
    while second["name"] == first["name"]:
        second = make()
    return first, second


def wiki_parallel(source, rng):
    shape = rng.randrange(3)
    if shape == 0:
        a, b = distinct_pair(source.city)
        user = f"In which countries are {a['name']} and {b['name']}?"
        text, answer = city_text, f"{a['name']} is in {a['country']} and {b['name']} is in {b['country']}."
    elif shape == 1:
        a, b = distinct_pair(source.person)
        user = f"When were {a['name']} and {b['name']} born?"
        text, answer = person_text, f"{a['name']} was born in {a['year']} and {b['name']} was born in {b['year']}."
    else:
        a, b = distinct_pair(source.mountain)
        user = f"How high are {a['name']} and {b['name']}?"
        text, answer = mountain_text, f"{a['name']} is {a['height']} metres high and {b['name']} is {b['height']} metres high."
    return turn(user, [[lookup(a, text), lookup(b, text)]], answer)


# ---------------------------------------------------------------- environment_step


def arrive(place: str, things: list[str]) -> dict:
    seen = ", ".join(things) if things else "nothing"
    return call("environment_step", f"go {place}", f"You are in the {place}. You see: {seen}.")


def take(thing: str) -> dict:
    return call("environment_step", f"take {thing}", f"You take the {thing}.")


def put(thing: str) -> dict:
    return call("environment_step", f"put {thing}", f"You put down the {thing}.")


def environment_look(source, rng):
    ((place, things),) = source.rooms(1)
    user = rng.choice(("Go to the {}. What do you see?", "What is in the {}?", "Look around in the {}.")).format(place)
    return turn(user, [[arrive(place, things)]], f"I see: {', '.join(things)}.")


def environment_walk(source, rng):
    (a, a_things), (b, b_things) = source.rooms(2)
    user = f"Go to the {a} and then to the {b}."
    return turn(user, [[arrive(a, a_things)], [arrive(b, b_things)]], f"I am in the {b} now.")


def environment_take(source, rng):
    ((place, things),) = source.rooms(1)
    thing = rng.choice(things)
    user = rng.choice(("Take the {} from the {}.", "Get the {} from the {}.")).format(thing, place)
    return turn(user, [[arrive(place, things)], [take(thing)]], f"I have the {thing}.")


def environment_take_two(source, rng):
    while True:
        ((place, things),) = source.rooms(1)
        if len(things) >= 2:
            break
    a, b = rng.sample(things, 2)
    user = f"Take the {a} and the {b} from the {place}."
    return turn(user, [[arrive(place, things)], [take(a), take(b)]], f"I have the {a} and the {b}.")


def environment_bring(source, rng):
    (a, a_things), (b, b_things) = source.rooms(2)
    thing = rng.choice(a_things)
    user = rng.choice(("Bring the {} from the {} to the {}.", "Carry the {} from the {} to the {}.",
                       "Take the {} from the {} and put it in the {}.")).format(thing, a, b)
    steps = [[arrive(a, a_things)], [take(thing)], [arrive(b, b_things)], [put(thing)]]
    return turn(user, steps, f"The {thing} is in the {b} now.")


# ---------------------------------------------------------------- human: follow-up turns, no calls


def human_profile(source, rng):
    name, city, pet, colour = source.first_name(), source.place_name(), source.pet(), source.colour()
    facts = [
        (f"My name is {name}.", f"Hello {name}.", "What is my name?", f"Your name is {name}."),
        (f"I live in {city}.", "I will remember that.", "Where do I live?", f"You live in {city}."),
        (f"My dog is called {pet}.", "I will remember that.", "What is my dog called?", f"Your dog is called {pet}."),
        (f"My favourite colour is {colour}.", "I will remember that.", "What is my favourite colour?",
         f"Your favourite colour is {colour}."),
    ]
    known = rng.sample(facts, rng.choice((1, 2, 2, 3)))
    turns = []
    if rng.random() < 0.5:
        for say, reply, _, _ in known:
            turns.append(turn(say, [], reply))
    else:
        turns.append(turn(" ".join(f[0] for f in known), [], known[0][1] if len(known) == 1 else "I will remember that."))
    asked = rng.sample(known, min(len(known), rng.choice((1, 2))))
    return turns + [turn(question, [], answer) for _, _, question, answer in asked]


def human_trip(source, rng):
    city, month, name = source.place_name(), rng.choice(MONTHS), source.first_name()
    alone = rng.random() < 0.5
    opening = ("Help me plan a trip.", "I want to travel.") if alone else (
        "Help me plan a trip with a friend.", "I want to travel with a friend.")
    turns = [
        turn(rng.choice(opening), [], "Where do you want to go?"),
        turn(rng.choice(("To {}.", "I want to go to {}.")).format(city), [], f"When do you want to go to {city}?"),
    ]
    when = rng.choice(("In {}.", "{}, please.")).format(month)
    if alone:
        return turns + [turn(when, [], f"You go to {city} in {month}.")]
    return turns + [turn(when, [], "Who travels with you?"),
                    turn(rng.choice(("{}.", "My friend {}.")).format(name), [], f"You go to {city} in {month} with {name}.")]


def human_choice(source, rng):
    a, b = source.dish(), source.dish()
    while b == a:
        b = source.dish()
    chosen = rng.choice((a, b))
    name = source.first_name()
    turns = [turn(rng.choice(("Should I take the {} or the {}?", "I cannot choose between the {} and the {}.")).format(a, b),
                  [], f"Do you prefer the {a} or the {b}?")]
    if rng.random() < 0.5:
        return turns + [turn(rng.choice(("The {}.", "I prefer the {}.")).format(chosen), [], f"Then take the {chosen}.")]
    return turns + [turn(f"The {chosen}, and {name} wants the other one.", [],
                         f"Then you take the {chosen} and {name} takes the {b if chosen == a else a}.")]


# ---------------------------------------------------------------- draw and speak


def file_number(text: str) -> int:
    """The four digits in a file's name, from what was asked for."""
    return 1000 + zlib.crc32(text.encode()) % 9000


def drawing(prompt: str, number: int) -> dict:
    return call("draw", prompt, f"Saved as drawing-{number}.svg.")


def speech(text: str, number: int) -> dict:
    return call("speak", text, f"Saved as speech-{number}.wav.")


def draw_prompt(source, rng):
    article = "an" if (word := source.adjective())[0] in "aeiou" else "a"
    c, t, s = source.creature(), source.thing(), source.scene()
    def a(noun):
        return ("an " if noun[0] in "aeiou" else "a ") + noun
    return rng.choice((
        f"{article} {word} {c}", f"{article} {word} {t}", f"{article} {word} {c} in {a(s)}",
        f"{a(c)} and {a(t)}", f"{a(c)} with {a(t)}", f"{a(t)} in {a(s)}", f"{source.first_name()} with {article} {word} {t}",
    ))


def draw_single(source, rng):
    prompt = draw_prompt(source, rng)
    number = file_number(prompt)
    user = rng.choice(("Draw {}.", "Please draw {}.", "Make a picture of {}.", "Paint {}.")).format(prompt)
    return turn(user, [[drawing(prompt, number)]], f"Here is the picture: drawing-{number}.svg.")


def spoken_text(source, rng):
    name, n = source.first_name(), source.operand(2, 99)
    return rng.choice((
        lambda: f"Good morning, {name}.",
        lambda: f"Hello {name}, the {source.dish()} is ready.",
        lambda: f"Welcome to {source.place_name()}, {name}.",
        lambda: f"The {source.adjective()} {source.creature()} sleeps in the {source.scene()}.",
        lambda: f"The train to {source.place_name()} leaves in {n} minutes.",
        lambda: f"{name} saw {n} {source.adjective()} {source.thing()}s.",
        lambda: f"{name} and {source.first_name()} travel to {source.place_name()}.",
    ))()


def speak_single(source, rng):
    text = spoken_text(source, rng)
    number = file_number(text)
    user = rng.choice(("Say: {}", "Read this aloud: {}", "Speak this text: {}", "Please say: {}")).format(text)
    return turn(user, [[speech(text, number)]], f"You can hear it in speech-{number}.wav.")


# ---------------------------------------------------------------- the mixture


def one(make):
    return lambda source, rng: [make(source, rng)]


# kind: [(share within the kind, builder of the turns)]
KINDS = {
    "calculator": [(5, one(calculator_single)), (3, one(calculator_story)), (3, one(calculator_steps)),
                   (2, one(calculator_parallel))],
    "wiki_search": [(6, one(wiki_single)), (2, one(wiki_chain)), (2, one(wiki_parallel))],
    "environment_step": [(2, one(environment_look)), (2, one(environment_walk)), (2, one(environment_take)),
                         (2, one(environment_take_two)), (3, one(environment_bring))],
    "human": [(3, human_profile), (2, human_trip), (3, human_choice)],
    "draw": [(1, one(draw_single))],
    "speak": [(1, one(speak_single))],
}

# More training of what is learned last: which of two is the other one.
PRACTICE = {"choice": [(1, human_choice)]}


SYSTEM_PROMPTS = (
    "You are a helpful agent.",
    "You are {name}, a helpful assistant.",
    "Answer in one sentence.",
    "Use the tools when they help.",
)


def kind_turns(kind: str, source, rng: random.Random) -> list[dict]:
    shares, builders = zip(*(KINDS | PRACTICE)[kind])
    return rng.choices(builders, shares)[0](source, rng)


def used_tools(turns: list[dict]) -> set[str]:
    return {c["name"] for t in turns for step in t["steps"] for c in step}


def offer_tools(used: set[str], rng: random.Random) -> list[str]:
    """The tools that are used and a random part of the others, in random order."""
    others = [name for name in TOOLS if name not in used]
    extra = others if rng.random() < 0.35 else rng.sample(others, rng.randint(0, len(others)))
    tools = [*used, *extra]
    tools.sort()
    rng.shuffle(tools)
    return tools


def system_prompt(source, rng: random.Random) -> dict:
    """Mostly none, which means the template's own."""
    if rng.random() < 0.75:
        return {}
    return {"system": rng.choice(SYSTEM_PROMPTS).format(name=source.first_name())}


def dialogue(kind: str, source, rng: random.Random) -> dict:
    turns = kind_turns(kind, source, rng)
    return {"kind": kind, **system_prompt(source, rng), "tools": offer_tools(used_tools(turns), rng), "turns": turns}


def mixed_dialogue(source, rng: random.Random) -> dict:
    """Two or three tasks of any kind in one session."""
    turns = [t for _ in range(rng.choice((2, 2, 3))) for t in kind_turns(rng.choice(list(KINDS)), source, rng)]
    return {"kind": "mixed", **system_prompt(source, rng), "tools": offer_tools(used_tools(turns), rng), "turns": turns}


def copy_dialogue(source, rng: random.Random) -> dict:
    """Training only: repeat a line of invented words and numbers. Copying appears here first."""
    parts = []
    for _ in range(rng.randint(1, 8)):
        parts.append(rng.choice((source.word, source.name, source.name, lambda: str(rng.randint(0, 99999))))())
    text = " ".join(parts)
    return {"kind": "copy", "tools": offer_tools(set(), rng) if rng.random() < 0.2 else [],
            "turns": [turn(f"Repeat: {text}", [], text)]}


def recall_dialogue(source, rng: random.Random) -> dict:
    """Training only: look up a value by its name among several."""
    count = rng.randint(2, 6)
    keys = source.names(count)
    values = [rng.choice((source.word, source.name, lambda: str(rng.randint(10, 9999))))() for _ in range(count)]
    listing = ". ".join(f"{k} is {v}" for k, v in zip(keys, values))
    asked = rng.sample(range(count), min(count, rng.randint(1, 3)))
    turns = [turn(f"{listing}. What is {keys[asked[0]]}?", [], f"{keys[asked[0]]} is {values[asked[0]]}.")]
    turns += [turn(f"What is {keys[i]}?", [], f"{keys[i]} is {values[i]}.") for i in asked[1:]]
    return {"kind": "recall", "tools": [], "turns": turns}
