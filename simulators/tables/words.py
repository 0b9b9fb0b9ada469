"""What columns and rows of generated tables are called."""

from __future__ import annotations

from collections.abc import Mapping

SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "Team": ("Falcons", "Otters", "Comets", "Pilots", "Herons", "Badgers", "Rockets", "Lynxes", "Tigers", "Ravens"),
    "City": ("Arlen", "Bergdorf", "Castell", "Dorne", "Elverum", "Farsund", "Gavle", "Holmby", "Ister", "Jarna"),
    "Player": ("Abara", "Bouchard", "Castro", "Dvorak", "Eklund", "Ferrari", "Gomez", "Haddad", "Ivanov", "Jansen"),
    "Product": ("Lamp", "Chair", "Kettle", "Mirror", "Carpet", "Shelf", "Pillow", "Basket", "Ladder", "Bucket"),
    "School": (
        "Ashford",
        "Birchwood",
        "Cedar",
        "Dunmore",
        "Eastgate",
        "Foxhill",
        "Granby",
        "Hilltop",
        "Irvine",
        "Jubilee",
    ),
    "Ship": ("Aurora", "Boreas", "Calypso", "Dolphin", "Endeavour", "Fortuna", "Galatea", "Hermes", "Iris", "Juno"),
}
"""First column's name, and names of rows."""

MEASURES = (
    "Points", "Wins", "Losses", "Goals", "Sales", "Visits", "Orders", "Members", "Awards", "Rooms", "Routes", "Crew",
    "Seats", "Clubs", "Parks", "Trips", "Votes", "Cups", "Units", "Stores",
)  # fmt: skip
"""Names of columns of numbers."""

GROUPS = ("First half", "Second half", "Home", "Away", "North", "South", "Before", "After")
"""Names over the header."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of rows and columns in tables for tiny models."""
