"""Content of figures of a store: modules are called as those of the layouts."""
