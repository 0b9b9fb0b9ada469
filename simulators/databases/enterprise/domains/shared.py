"""The units and regions that every company has, once for each vocabulary."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.model import (
    Domain,
    Half,
    category,
    date,
    entity,
    label,
    money,
    number,
    ref,
)


def _shared(half: Half, region_forms: str, unit_forms: str) -> Domain:
    return Domain(
        "shared",
        half,
        "company",
        (
            entity(
                "region",
                "region/regions, part of the country/parts of the country",
                region_forms,
                "reference",
                label("region name; name of the area", "place"),
                category("climate", "climate; weather zone", "mild, dry, wet, alpine"),
                number("inhabitants", "inhabitants in thousands; thousands of people living there", 20, 4000),
            ),
            entity(
                "unit",
                "business unit/business units, operating division/operating divisions",
                unit_forms,
                "reference",
                label("unit name; name of the division", "company"),
                money("yearly budget", "yearly budget; money available per year", 40000, 5000000),
                number("headcount", "headcount; people employed", 8, 900),
                date("created", "date of creation; day it was set up"),
                refs=(ref("region", "seated in"), ref("unit", "reporting to", "parent", optional=True)),
            ),
        ),
    )


SHARED_A = _shared("a", "region, territory, district", "business unit, org unit, branch group")
SHARED_B = _shared("b", "zone, market area, province", "cost centre, division, profit section")
