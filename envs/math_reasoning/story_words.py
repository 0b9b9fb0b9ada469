"""The words of the stories: ``{who}`` and ``{next}`` are people, ``{a}`` and ``{b}`` numbers, ``{thing}`` a thing."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = (
    "Amina", "Bruno", "Chiara", "Dembe", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaori", "Leila",
    "Mateo", "Noor", "Oskar", "Priya",
)  # fmt: skip

THINGS: Mapping[str, tuple[str, ...]] = {
    "shopping": ("a lamp", "a loaf of bread", "a notebook", "a scarf", "a bag of oranges"),
    "sharing": ("marbles", "stamps", "seashells", "buttons", "picture cards"),
    "rates": ("rainwater", "well water", "pond water"),
    "ages": ("",),
    "mixtures": ("sugar", "salt", "cocoa"),
}

OPENINGS: Mapping[str, tuple[str, ...]] = {
    "shopping": (
        "{who} is at the market, and the basket costs {a} euros so far.",
        "The things in {who}'s basket come to {a} euros.",
    ),
    "sharing": ("{who} has {a} {thing}.", "In {who}'s drawer there are {a} {thing}."),
    "rates": (
        "A pump brings {who} {a} litres of {thing} a minute; it runs for one minute into an empty tank.",
        "{who} lets {thing} run into an empty tank for one minute, at {a} litres a minute.",
    ),
    "ages": ("{who} is {a} years old.", "This year {who} turned {a}."),
    "mixtures": (
        "{who} dissolves {a} grams of {thing} in a pot of water.",
        "There are {a} grams of {thing} in the mix that {who} has begun.",
    ),
}

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "shopping": ("How many euros does {who} pay in the end?", "What does {who} have to pay now, in euros?"),
    "sharing": ("How many {thing} does {who} have now?", "What number of {thing} is {who} left with?"),
    "rates": ("How many litres are in the tank now?", "What does {who}'s tank hold in the end, in litres?"),
    "ages": ("How old is {who}?", "What is {who}'s age in years?"),
    "mixtures": (
        "How many grams of {thing} are in {who}'s mix now?",
        "What amount of {thing} does {who} have in the mix in the end, in grams?",
    ),
}

SENTENCES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "shopping": {
        "also": ("{who} also takes {thing} for {a} euros.", "Then {who} adds {thing}, which costs {a} euros."),
        "voucher": ("A voucher takes {a} euros off.", "The seller lets {a} euros go for a returned bottle crate."),
        "repeat": (
            "{who} decides to order exactly this {a} times in all.",
            "For a party {who} makes the whole order {a} times as large.",
        ),
        "split": (
            "The amount is split equally among {a} people, and from here on only {who}'s share is counted.",
            "A group of {a}, {who} among them, shares the cost equally; what follows is about {who}'s share.",
        ),
        "sale": ("A sale takes {a}/{b} of the amount away.", "The shop lowers the amount by {a}/{b} of it."),
    },
    "sharing": {
        "gets": ("Then {who} is given {a} more.", "On the way home {who} finds another {a}."),
        "gives": ("{who} gives {a} of them to a friend.", "{who} sells {a} of them."),
        "times": (
            "After a lucky trade {who} has {a} times as many.",
            "An aunt brings so many that there are {a} times as many as before.",
        ),
        "boxes": (
            "{who} puts them into {a} boxes, the same number in each, and keeps only one box.",
            "They are shared equally among {a} children, and {who} is one of them.",
        ),
        "loses": ("{who} loses {a}/{b} of them.", "A hole in the bag costs {who} {a}/{b} of them."),
    },
    "rates": {
        "poured": (
            "A hose of 1 litre a minute then runs into the tank for {a} minutes.",
            "Rain adds {a} litres to the tank.",
        ),
        "leaks": ("The tank leaks 1 litre an hour for {a} hours.", "{who} takes {a} litres out of the tank."),
        "longer": (
            "{who} fills the tank up until it holds {a} times as much.",
            "After a wet night the tank holds {a} times as much.",
        ),
        "barrels": (
            "{who} shares the water equally among {a} tanks; from here on one of them is meant.",
            "The water is divided into {a} equal parts, and one of them stays in the tank.",
        ),
        "used": ("The garden takes {a}/{b} of the water.", "{who} uses {a}/{b} of what is in the tank."),
    },
    "ages": {
        "older": ("{next} is {a} years older than {who}.", "{who} was born {a} years after {next}."),
        "younger": ("{next} is {a} years younger than {who}.", "{who} was born {a} years before {next}."),
        "times": ("{next} is {a} times as old as {who}.", "{next}'s age is {a} times {who}'s."),
        "fraction": ("{who} is {a} times as old as {next}.", "{who}'s age is {a} times {next}'s."),
    },
    "mixtures": {
        "stirred": (
            "Then {a} grams more are stirred in.",
            "{who} pours in a solution that holds another {a} grams.",
        ),
        "skimmed": ("{a} grams settle and are scraped out.", "A filter keeps back {a} grams."),
        "batches": (
            "{who} makes the same mix until there are {a} equal pots, and pours them together.",
            "{who} makes {a} times as large a mix by the same recipe.",
        ),
        "jars": (
            "The mix is stirred and poured into {a} equal jars, and {who} keeps one of them.",
            "{who} divides the well stirred mix into {a} equal parts and goes on with one part.",
        ),
        "spilt": (
            "The mix is stirred, and {a}/{b} of it is spilt.",
            "{who} pours {a}/{b} of the well stirred mix away.",
        ),
    },
}
