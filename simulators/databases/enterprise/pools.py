"""Pools of names that rows are filled from."""

from __future__ import annotations


def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator))


FIRST_NAMES = _split(
    "Ada Amir Anna Anton Aoife Arjun Bela Bruno Carla Chen Clara Dario Diego Dina Elena Elias Emma Enzo Farah Felix "
    "Freya Gita Hana Hugo Ibrahim Ida Igor Ines Ivan Jana Jonas Julia Kaito Karim Kira Lars Leila Leo Lin Lucia Malik "
    "Mara Marco Mei Milan Mina Nadia Nils Noor Olga Omar Oscar Paula Petra Priya Rafael Rosa Ruben Sara Selma Sven "
    "Tara Theo Tomas Uma Vera Viktor Wanda Yara Yusuf Zoe",
    " ",
)
LAST_NAMES = _split(
    "Abbott Adeyemi Ahmed Almeida Andersson Bakker Barros Bauer Becker Berg Bianchi Blake Bosch Castro Chandra Costa "
    "Cruz Dahl Delgado Dietrich Dubois Egan Eriksen Falk Fischer Fontaine Fuchs Garcia Gruber Haas Hansen Hoffman "
    "Holm Iqbal Ivanov Jansen Kaya Keller Khan Kim Klein Kovacs Kramer Larsen Lehmann Lopez Maier Martin Mendes Moreau "
    "Nakamura Novak Okafor Olsen Ortiz Park Patel Petrov Quinn Rao Reyes Ricci Rossi Sato Schmidt Silva Singh Soler "
    "Stone Tanaka Torres Ueda Vargas Vogel Wagner Walsh Weber Wolf Yilmaz Young Zhang Ziegler",
    " ",
)
CITIES = _split(
    "Ashford;Brenton;Calder;Dunmore;Eastvale;Fernhill;Glenrock;Harwick;Invermoor;Kestrel Bay;Lakeside;Marlow;"
    "Northgate;Oakham;Penrose;Quarry Hill;Redcliff;Stonebridge;Thornbury;Westport",
    ";",
)
PLACES = _split(
    "Alder Birch Cedar Copper Coral Crown Eagle Elm Falcon Granite Harbour Hazel Heron Iron Jade Juniper Linden Maple "
    "Meadow Opal Orchard Pine Raven River Rowan Silver Spruce Summit Timber Valley Willow",
    " ",
)
PLACE_ENDINGS = _split("Point Cross Park Heights Gate Bridge Field Court Grove Ridge Square Wharf", " ")
COMPANIES = _split(
    "Albion Apex Arbor Atlas Borealis Calypso Cobalt Corvus Delta Ember Equinox Fathom Halcyon Helix Kepler Lumen Lyra "
    "Meridian Nimbus Nova Orbit Pinnacle Quasar Sable Solace Strata Tandem Umber Vertex Zephyr",
    " ",
)
COMPANY_ENDINGS = _split("Group;Partners;Works;Trading;Holdings;Systems;and Sons;Supplies;Services", ";")
ADJECTIVES = _split(
    "Basic Bright Classic Compact Deep Double Eco Fine Grand Light Lunar Major Mini Noble Plus Prime Pro Quick Royal "
    "Simple Smart Solid Solar Super Total Trail Ultra Urban Vital Wide",
    " ",
)
TITLE_OPENINGS = _split(
    "Advanced;Applied;Beyond;Foundations of;Introduction to;Lessons from;Living with;New;Notes on;Practical;"
    "Principles of;Rethinking;Stories of;The Art of;The Limits of;Understanding;Working with",
    ";",
)
TITLE_SUBJECTS = _split(
    "Bridges;Climate;Coastlines;Colour;Data;Design;Energy;Forests;Gardens;Geometry;Harbours;History;Language;Light;"
    "Markets;Memory;Migration;Music;Networks;Patience;Probability;Risk;Rivers;Silence;Soil;Teams;Time;Trade;Travel;"
    "Weather",
    ";",
)
ACTIONS = ("opened", "edited", "exported", "approved", "printed", "closed")
USERS = tuple(f"user{number:02d}" for number in range(1, 25))
