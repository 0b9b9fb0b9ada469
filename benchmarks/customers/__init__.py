"""The simulated customer, validated: what has to hold of it before conversions measured on it mean anything."""
