"""The business domains as data: seven that use vocabulary ``a``, seven that use vocabulary ``b``."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.domains.care import HOSPITAL, UNIVERSITY
from fogline.simulators.databases.enterprise.domains.commerce import PUBLISHING, RETAIL
from fogline.simulators.databases.enterprise.domains.industry import LOGISTICS, MANUFACTURING
from fogline.simulators.databases.enterprise.domains.money_matters import BANKING, INSURANCE
from fogline.simulators.databases.enterprise.domains.networks import ENERGY, TELECOM
from fogline.simulators.databases.enterprise.domains.people_and_land import AGRICULTURE, HUMAN_RESOURCES
from fogline.simulators.databases.enterprise.domains.shared import SHARED_A, SHARED_B
from fogline.simulators.databases.enterprise.domains.travel import AIRLINE, HOTEL
from fogline.simulators.databases.enterprise.model import Domain, Half

# Alternating halves, so that the first databases of the default data set show both vocabularies.
DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (
        RETAIL, LOGISTICS, HOSPITAL, INSURANCE, BANKING, TELECOM, UNIVERSITY,
        MANUFACTURING, ENERGY, HUMAN_RESOURCES, AIRLINE, HOTEL, PUBLISHING, AGRICULTURE,
    )
}  # fmt: skip
SHARED: dict[Half, Domain] = {"a": SHARED_A, "b": SHARED_B}

__all__ = ["DOMAINS", "SHARED"]
