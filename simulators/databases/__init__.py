"""SQL databases: executor, bundled data, generators, loaders, comparators."""
