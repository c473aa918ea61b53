"""The real entities that only the evaluation uses. No training dialogue contains any of them."""

# country: (capital, language)
COUNTRIES = {
    "Portugal": ("Lisbon", "Portuguese"), "Spain": ("Madrid", "Spanish"), "France": ("Paris", "French"),
    "Germany": ("Berlin", "German"), "Italy": ("Rome", "Italian"), "Poland": ("Warsaw", "Polish"),
    "Austria": ("Vienna", "German"), "Hungary": ("Budapest", "Hungarian"), "Czechia": ("Prague", "Czech"),
    "Serbia": ("Belgrade", "Serbian"), "Egypt": ("Cairo", "Arabic"), "Iraq": ("Baghdad", "Arabic"),
    "Russia": ("Moscow", "Russian"), "Japan": ("Tokyo", "Japanese"), "Vietnam": ("Hanoi", "Vietnamese"),
    "Thailand": ("Bangkok", "Thai"), "Latvia": ("Riga", "Latvian"), "Ukraine": ("Kyiv", "Ukrainian"),
    "Greece": ("Athens", "Greek"), "Norway": ("Oslo", "Norwegian"), "Turkey": ("Ankara", "Turkish"),
    "Slovenia": ("Ljubljana", "Slovene"), "Tanzania": ("Dodoma", "Swahili"), "Nepal": ("Kathmandu", "Nepali"),
    "Argentina": ("Buenos Aires", "Spanish"), "Iran": ("Tehran", "Persian"), "Kenya": ("Nairobi", "Swahili"),
    "England": ("London", "English"), "Denmark": ("Copenhagen", "Danish"), "Sweden": ("Stockholm", "Swedish"),
}

# city: (country, river)
CITIES = {
    "Lisbon": ("Portugal", "Tagus"), "Porto": ("Portugal", "Douro"), "Seville": ("Spain", "Guadalquivir"),
    "Zaragoza": ("Spain", "Ebro"), "Paris": ("France", "Seine"), "Lyon": ("France", "Rhone"),
    "Bordeaux": ("France", "Garonne"), "Nantes": ("France", "Loire"), "Hamburg": ("Germany", "Elbe"),
    "Cologne": ("Germany", "Rhine"), "Bremen": ("Germany", "Weser"), "Munich": ("Germany", "Isar"),
    "Frankfurt": ("Germany", "Main"), "Berlin": ("Germany", "Spree"), "Rome": ("Italy", "Tiber"),
    "Florence": ("Italy", "Arno"), "Turin": ("Italy", "Po"), "Verona": ("Italy", "Adige"),
    "Warsaw": ("Poland", "Vistula"), "Wroclaw": ("Poland", "Oder"), "Vienna": ("Austria", "Danube"),
    "Salzburg": ("Austria", "Salzach"), "Graz": ("Austria", "Mur"), "Szeged": ("Hungary", "Tisza"),
    "Prague": ("Czechia", "Vltava"), "Belgrade": ("Serbia", "Sava"), "Cairo": ("Egypt", "Nile"),
    "Baghdad": ("Iraq", "Tigris"), "Volgograd": ("Russia", "Volga"), "Omsk": ("Russia", "Irtysh"),
    "Moscow": ("Russia", "Moskva"), "Hanoi": ("Vietnam", "Red River"), "Bangkok": ("Thailand", "Chao Phraya"),
    "Riga": ("Latvia", "Daugava"), "Kyiv": ("Ukraine", "Dnipro"), "London": ("England", "Thames"),
    "Liverpool": ("England", "Mersey"), "Newcastle": ("England", "Tyne"), "Bristol": ("England", "Avon"),
}

# person: (birthplace, year, topic)
PEOPLE = {
    "Marie Curie": ("Warsaw", 1867, "radioactivity"), "Albert Einstein": ("Ulm", 1879, "relativity"),
    "Isaac Newton": ("Woolsthorpe", 1643, "gravity"), "Charles Darwin": ("Shrewsbury", 1809, "evolution"),
    "Galileo Galilei": ("Pisa", 1564, "motion"), "Niels Bohr": ("Copenhagen", 1885, "atoms"),
    "Ada Lovelace": ("London", 1815, "computing"), "Alan Turing": ("London", 1912, "computability"),
    "Emmy Noether": ("Erlangen", 1882, "algebra"), "Leonhard Euler": ("Basel", 1707, "analysis"),
    "Michael Faraday": ("London", 1791, "induction"), "James Watt": ("Greenock", 1736, "steam engines"),
    "Max Planck": ("Kiel", 1858, "quanta"), "Lise Meitner": ("Vienna", 1878, "fission"),
    "Carl Linnaeus": ("Rashult", 1707, "taxonomy"), "Gregor Mendel": ("Heinzendorf", 1822, "heredity"),
    "Louis Pasteur": ("Dole", 1822, "vaccines"), "Robert Koch": ("Clausthal", 1843, "bacteria"),
    "Alfred Nobel": ("Stockholm", 1833, "dynamite"), "Nikola Tesla": ("Smiljan", 1856, "alternating current"),
    "Alexander Fleming": ("Darvel", 1881, "penicillin"), "Srinivasa Ramanujan": ("Erode", 1887, "number theory"),
}

# mountain: (country, height in metres)
MOUNTAINS = {
    "Everest": ("Nepal", 8849), "Kilimanjaro": ("Tanzania", 5895), "Aconcagua": ("Argentina", 6961),
    "Olympus": ("Greece", 2918), "Etna": ("Italy", 3357), "Fuji": ("Japan", 3776), "Ararat": ("Turkey", 5137),
    "Elbrus": ("Russia", 5642), "Zugspitze": ("Germany", 2962), "Triglav": ("Slovenia", 2864),
    "Teide": ("Spain", 3715), "Damavand": ("Iran", 5609), "Mulhacen": ("Spain", 3479), "Rysy": ("Poland", 2499),
    "Hoverla": ("Ukraine", 2061), "Galdhopiggen": ("Norway", 2469), "Kebnekaise": ("Sweden", 2096),
    "Grossglockner": ("Austria", 3798), "Annapurna": ("Nepal", 8091), "Manaslu": ("Nepal", 8163),
}

# book: (author, year)
BOOKS = {
    "Emma": ("Jane Austen", 1815), "Pride and Prejudice": ("Jane Austen", 1813), "Dracula": ("Bram Stoker", 1897),
    "Frankenstein": ("Mary Shelley", 1818), "Moby Dick": ("Herman Melville", 1851),
    "Jane Eyre": ("Charlotte Bronte", 1847), "Walden": ("Henry Thoreau", 1854), "Ulysses": ("James Joyce", 1922),
    "Oliver Twist": ("Charles Dickens", 1838), "Candide": ("Francois Voltaire", 1759),
    "Ivanhoe": ("Walter Scott", 1819), "Lolita": ("Vladimir Nabokov", 1955), "Dune": ("Frank Herbert", 1965),
    "Kim": ("Rudyard Kipling", 1901), "The Trial": ("Franz Kafka", 1925), "The Hobbit": ("John Tolkien", 1937),
    "Robinson Crusoe": ("Daniel Defoe", 1719), "Middlemarch": ("George Eliot", 1871),
    "Heidi": ("Johanna Spyri", 1880), "Pinocchio": ("Carlo Collodi", 1883),
}

FIRST_NAMES = """Alice Bob Clara David Emil Fatima George Hannah Ivan Julia Karim Laura Marco Nadia Oscar Paula
Quentin Rosa Samuel Teresa Ursula Victor Wanda Xavier Yusuf Zoe Amelia Bruno Celine Dmitri Elena Felix Greta Hugo
Irene Jakob Katrin Leon Miriam Noah Olga Pedro Rachel Simon Tobias Vera Walter Yara Anton Bianca Chiara Daniel
Esther Farid Gustav Helena Ingrid Joseph Klara Linus Monika Nina Otto Petra Ruben Sofia Tamara Ulrich""".split()

PETS = """Rex Bello Minka Luna Tiger Pepper Biscuit Shadow Ginger Cookie Rocky Daisy Buddy Oreo Simba Nala Felix
Whiskers Bandit Snoopy Pongo Hector Maggie Coco""".split()

# place of the small world: what lies there at the start
WORLD = {
    "kitchen": ["kettle", "spoon", "bread"], "garden": ["shovel", "rose"], "cellar": ["barrel", "candle"],
    "attic": ["trunk", "mirror", "doll"], "library": ["atlas", "novel"], "tower": ["telescope", "flag"],
    "harbour": ["anchor", "rope", "net"], "forest": ["mushroom", "branch"], "bakery": ["cake", "flour"],
    "workshop": ["hammer", "saw", "nail"], "stable": ["saddle", "bucket"], "chapel": ["bell", "organ"],
    "market": ["apple", "pumpkin", "basket"], "station": ["ticket", "suitcase"], "school": ["pencil", "globe"],
    "office": ["stapler", "folder"], "museum": ["statue", "vase"], "theatre": ["mask", "violin"],
    "beach": ["shell", "umbrella"], "cave": ["crystal", "torch"], "barn": ["ladder", "lantern"],
    "bridge": ["coin", "stone"], "kiosk": ["newspaper", "postcard"], "pantry": ["honey", "pepper"],
    "bedroom": ["pillow", "blanket"], "balcony": ["cactus", "hammock"], "hospital": ["bandage", "syringe"],
    "castle": ["crown", "shield", "sword"], "island": ["coconut", "parrot"], "laboratory": ["magnet", "flask"],
}

ADJECTIVES = """purple yellow orange silver golden striped tiny giant sleepy happy rusty wooden frozen shiny crooked
ancient gentle noisy dusty fluffy lonely bright spotted velvet""".split()

CREATURES = """fox owl dragon whale rabbit hedgehog penguin elephant squirrel turtle zebra camel dolphin falcon
lizard otter panda raven salmon beetle hamster donkey badger flamingo""".split()

THINGS = """bicycle castle teapot sailboat windmill rocket piano balloon lighthouse tractor guitar snowman compass
submarine carousel volcano waterfall trumpet helicopter accordion""".split()

SCENES = """desert meadow jungle valley canyon swamp village snowstorm orchard lagoon vineyard subway""".split()

DISHES = """soup pasta coffee lemonade pancakes noodles risotto salad dumplings waffles""".split()

COLOURS = """turquoise crimson indigo scarlet violet magenta beige maroon""".split()


def held_out_words() -> set[str]:
    """Every entity above, in lower case, as single words and as whole names."""
    names: list[str] = []
    for table in (COUNTRIES, CITIES, PEOPLE, MOUNTAINS, BOOKS):
        for name, values in table.items():
            names += [name, *(v for v in values if isinstance(v, str))]
    names += FIRST_NAMES + PETS + ADJECTIVES + CREATURES + THINGS + SCENES + DISHES + COLOURS
    for place, things in WORLD.items():
        names += [place, *things]
    words = {w for name in names for w in name.lower().split()}
    return words - {"and", "the"}


def held_out_years() -> set[int]:
    """Years and heights of the fact base."""
    tables = (PEOPLE, MOUNTAINS, BOOKS)
    return {v for table in tables for values in table.values() for v in values if isinstance(v, int)}
