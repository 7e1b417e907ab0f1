"""The library's verbs, one module each: they join the edge, which reads and writes, to the core, which decides."""
